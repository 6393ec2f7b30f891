{{- define "runwright.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "runwright-common.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "runwright.defaultStackNamespace" -}}
{{- default .Release.Namespace .Values.defaultStack.namespace -}}
{{- end -}}

{{/* Where TrackingStacks may be made, as JSON. */}}
{{- define "runwright.stackNamespaces" -}}
{{- $namespaces := list -}}
{{- if .Values.rbac.stacks -}}
{{- $namespaces = .Values.stackNamespaces -}}
{{- if and (not $namespaces) (or (not .Values.watchNamespaces) (has .Release.Namespace .Values.watchNamespaces)) -}}
{{- $namespaces = list .Release.Namespace -}}
{{- end -}}
{{- if .Values.defaultStack.name -}}
{{- $namespaces = append $namespaces (include "runwright.defaultStackNamespace" .) | uniq -}}
{{- end -}}
{{- end -}}
{{- toJson $namespaces -}}
{{- end -}}

{{/* Values that contradict each other. */}}
{{- define "runwright.check" -}}
{{- $stack := .Values.defaultStack -}}
{{- $namespace := include "runwright.defaultStackNamespace" . -}}
{{- if and $stack.namespace (not $stack.name) -}}
{{- fail "defaultStack: a namespace needs a name; with neither there is no default stack" -}}
{{- end -}}
{{- if and $stack.create (not $stack.name) -}}
{{- fail "defaultStack.create=true needs defaultStack.name" -}}
{{- end -}}
{{- if and $stack.create (ne $namespace .Release.Namespace) -}}
{{- fail (printf "defaultStack.create=true makes the stack in the release's namespace %s: leave defaultStack.namespace empty, or apply a TrackingStack in %s yourself" .Release.Namespace $namespace) -}}
{{- end -}}
{{- if and $stack.create (not .Values.rbac.stacks) (not ($stack.spec.server | default dict).external) -}}
{{- fail "defaultStack.create=true without defaultStack.spec.server.external needs rbac.stacks=true" -}}
{{- end -}}
{{- if .Values.watchNamespaces -}}
{{- range .Values.stackNamespaces -}}
{{- if not (or (has . $.Values.watchNamespaces) (and $stack.name (eq . $namespace))) -}}
{{- fail (printf "stackNamespaces: %s is not among watchNamespaces, so that nobody would see a TrackingStack there" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values of the stacks' charts, as YAML or nothing: where the operator's image comes from, theirs do, unless
stackDefaults says otherwise. */}}
{{- define "runwright.stackDefaults" -}}
{{- $found := dict -}}
{{- range $chart := list "postgresql" "object-store" "mlflow" -}}
{{- $values := dict -}}
{{- with $.Values.image.registry -}}
{{- $image := dict "image" (dict "registry" .) -}}
{{- $values = deepCopy $image -}}
{{- if eq $chart "mlflow" -}}
{{- $values = merge $values (dict "backup" $image "restore" $image) -}}
{{- end -}}
{{- end -}}
{{- with $.Values.imagePullSecrets -}}
{{- $_ := set $values "imagePullSecrets" . -}}
{{- end -}}
{{- with $values -}}
{{- $_ := set $found $chart . -}}
{{- end -}}
{{- end -}}
{{- with mergeOverwrite (deepCopy $found) (deepCopy .Values.stackDefaults) -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* Changes when what the operator reads at its start does. */}}
{{- define "runwright.annotations" -}}
{{- $annotations := .Values.podAnnotations -}}
{{- $defaults := include "runwright.stackDefaults" . -}}
{{- if or .Values.defaultStack.create $defaults -}}
{{- $read := list .Values.defaultStack $defaults | toJson -}}
{{- $annotations = merge (dict "checksum/stacks" (sha256sum $read)) $annotations -}}
{{- end -}}
{{- with $annotations -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* `helm test`'s pod: a program of Runwright to the stacks' NetworkPolicies, but no pod of the Deployment or Service. */}}
{{- define "runwright.testLabels" -}}
app.kubernetes.io/name: {{ include "runwright-common.name" . }}
app.kubernetes.io/instance: {{ printf "%s-test" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Rights. docs/guide/rights.md says what each is for, and tests compare them with what the operator asks for at its
start (runwright.operator.rights). These are on the default stack where its namespace is not watched. */}}
{{- define "runwright.defaultStackRules" -}}
- apiGroups: [runwright.dev]
  resources: [trackingstacks]
  verbs: [get, list]
- apiGroups: [runwright.dev]
  resources: [trackingstacks/status]
  verbs: [patch]
{{- end -}}

{{/* In the namespaces where stacks are made. */}}
{{- define "runwright.stackRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, update, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, create, patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "runwright.rules" -}}
- apiGroups: [runwright.dev]
  resources: [trainingruns]
  verbs: [get, list, watch, delete]
- apiGroups: [runwright.dev]
  resources: [trainingruns/status]
  verbs: [patch]
- apiGroups: [runwright.dev]
  resources: [trackingstacks]
  verbs: [get, list, watch]
- apiGroups: [runwright.dev]
  resources: [trackingstacks/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [services, configmaps, persistentvolumeclaims]
  verbs: [get, create]
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
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
{{- with .Values.defaultStack.name }}
- name: RUNWRIGHT_DEFAULT_STACK
  value: {{ printf "%s/%s" (include "runwright.defaultStackNamespace" $) . | quote }}
{{- end }}
{{- if .Values.defaultStack.create }}
- name: RUNWRIGHT_DEFAULT_STACK_FILE
  value: /etc/runwright/default-stack/trackingstack.yaml
{{- end }}
{{- if include "runwright.stackDefaults" . }}
- name: RUNWRIGHT_STACK_DEFAULTS
  value: /etc/runwright/stack-defaults/values.yaml
{{- end }}
- name: RUNWRIGHT_STACK_NAMESPACES
  value: {{ include "runwright.stackNamespaces" . | fromJsonArray | join "," | quote }}
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
# Fetches code and data in training pods.
- name: RUNWRIGHT_IMAGE
  value: {{ include "runwright-common.image" . | quote }}
- name: RUNWRIGHT_IMAGE_PULL_POLICY
  value: {{ .Values.image.pullPolicy }}
- name: RUNWRIGHT_LEASE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: RUNWRIGHT_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}
