{{- define "runwright.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "runwright-common.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* Rules on the default stack, and on everything a training run needs. The README says what each row is for, and a
test compares them with what the operator asks for at its start (runwright.operator.rights). */}}
{{- define "runwright.stackRules" -}}
- apiGroups: [runwright.dev]
  resources: [trackingstacks]
  verbs: [get, list, watch]
- apiGroups: [runwright.dev]
  resources: [trackingstacks/status]
  verbs: [patch]
{{- end -}}

{{- define "runwright.rules" -}}
- apiGroups: [runwright.dev]
  resources: [trainingruns]
  verbs: [get, list, watch]
- apiGroups: [runwright.dev]
  resources: [trainingruns/status]
  verbs: [patch]
{{ include "runwright.stackRules" . }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, create]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "runwright.subject" -}}
- kind: ServiceAccount
  name: {{ include "runwright.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{- define "runwright.env" -}}
{{- with .Values.defaultStack }}
{{- if and .namespace .name }}
- name: RUNWRIGHT_DEFAULT_STACK
  value: {{ printf "%s/%s" .namespace .name | quote }}
{{- end }}
{{- end }}
- name: RUNWRIGHT_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: RUNWRIGHT_CONCURRENCY
  value: {{ .Values.concurrency | quote }}
- name: RUNWRIGHT_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: RUNWRIGHT_LOG_FORMAT
  value: {{ .Values.logFormat }}
- name: RUNWRIGHT_LOG_TAIL
  value: {{ .Values.logTail.enabled | quote }}
- name: RUNWRIGHT_CLUSTER_DOMAIN
  value: {{ .Values.clusterDomain | quote }}
- name: RUNWRIGHT_HTTP_PORT
  value: "8080"
- name: RUNWRIGHT_LEASE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: RUNWRIGHT_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}
