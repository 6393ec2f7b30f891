{{/* What the CronJobs share. */}}

{{/* A CronJob's name has at most 52 characters, because its Jobs' names add 11: (dict "root" $ "component" "gc") */}}
{{- define "mlflow.jobName" -}}
{{- $room := sub 51 (len .component) | int -}}
{{- printf "%s-%s" (include "runwright-common.fullname" .root | trunc $room | trimSuffix "-") .component -}}
{{- end -}}

{{/* (dict "root" $ "component" "gc" "settings" .Values.gc "pod" <YAML of containers and volumes>) */}}
{{- define "mlflow.cronJob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "mlflow.jobName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "runwright-common.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  {{- with include "runwright-common.owner" .root }}
  {{- . | trim | nindent 2 }}
  {{- end }}
spec:
  schedule: {{ .settings.schedule | quote }}
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  # One that could not start in time is left out; without this, 100 missed ones end the CronJob for good.
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 2
  failedJobsHistoryLimit: 2
  jobTemplate:
    metadata:
      labels:
        {{- include "runwright-common.selectorLabels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
    spec:
      backoffLimit: 2
      activeDeadlineSeconds: {{ .settings.deadlineSeconds }}
      template:
        metadata:
          labels:
            {{- include "runwright-common.podLabels" .root | nindent 12 }}
            app.kubernetes.io/component: {{ .component }}
          {{- with .root.Values.podAnnotations }}
          annotations:
            {{- toYaml . | nindent 12 }}
          {{- end }}
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          enableServiceLinks: false
          {{- with .root.Values.serviceAccountName }}
          serviceAccountName: {{ . }}
          {{- end }}
          securityContext:
            {{- include "runwright-common.podSecurityContext" .root | nindent 12 }}
          {{- with include "runwright-common.scheduling" .root }}
          {{- . | nindent 10 }}
          {{- end }}
          {{- .pod | trim | nindent 10 }}
{{- end -}}
