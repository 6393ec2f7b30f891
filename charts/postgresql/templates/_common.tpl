{{/* The same file in every chart of this repository (a test compares them), so that each chart stands alone. */}}

{{- define "runwright-common.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A StatefulSet's pod name plus a controller hash must fit a label's 63 characters: hence 52. */}}
{{- define "runwright-common.fullname" -}}
{{- $name := include "runwright-common.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selectors and volumeClaimTemplates carry: immutable, so nothing that a new version would change. */}}
{{- define "runwright-common.selectorLabels" -}}
app.kubernetes.io/name: {{ include "runwright-common.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "runwright-common.labels" -}}
{{ include "runwright-common.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: runwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Who owns the chart's objects; below a metadata's labels. A volume claim has its own life and gets none. */}}
{{- define "runwright-common.owner" -}}
{{- with .Values.owner }}
ownerReferences:
  - apiVersion: {{ .apiVersion }}
    kind: {{ .kind }}
    name: {{ .name }}
    uid: {{ .uid | quote }}
    controller: true
    blockOwnerDeletion: false
{{- end }}
{{- end -}}

{{/* No version here: a new chart version alone must not restart a database. */}}
{{- define "runwright-common.podLabels" -}}
{{ include "runwright-common.selectorLabels" . }}
app.kubernetes.io/part-of: runwright
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "runwright-common.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- with $image.tag }}:{{ . }}{{ end }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "runwright-common.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.podSecurityContext.runAsUser }}
runAsUser: {{ . | int64 }}
{{- end }}
{{- with .Values.podSecurityContext.runAsGroup }}
runAsGroup: {{ . | int64 }}
{{- end }}
{{- with .Values.podSecurityContext.fsGroup }}
fsGroup: {{ . | int64 }}
# Not at every start: changing the group of a big volume's files takes minutes.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "runwright-common.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods may run, what pulls their images, and how urgent they are. */}}
{{- define "runwright-common.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Timing of a probe: {{ include "runwright-common.probeTiming" .Values.probes.liveness }} */}}
{{- define "runwright-common.probeTiming" -}}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end -}}

{{/* A container's variables: the chart's own (YAML text) and values.env, which wins. No name twice: server-side apply,
Helm 4's default, refuses that. */}}
{{- define "runwright-common.env" -}}
{{- $given := list -}}
{{- range .more -}}
{{- $given = append $given .name -}}
{{- end -}}
{{- $env := list -}}
{{- range fromYamlArray .defaults -}}
{{- if not (has .name $given) -}}
{{- $env = append $env . -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $env .more) -}}
{{- end -}}
