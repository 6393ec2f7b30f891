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
