{{/* Every name that reaches the Service, with and without port: the server compares Host headers literally. */}}
{{- define "mlflow.allowedHosts" -}}
{{- $service := include "runwright-common.fullname" . -}}
{{- $port := .Values.service.port | int64 -}}
{{- $hosts := list -}}
{{- range $name := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.%s" $service .Release.Namespace .Values.clusterDomain) -}}
{{- $hosts = concat $hosts (list $name (printf "%s:%d" $name $port)) -}}
{{- end -}}
{{- /* A port-forward arrives as localhost on any port; a scrape by address as the pod's own. */ -}}
{{- $hosts = concat $hosts (list "localhost" "localhost:*" "127.0.0.1" "127.0.0.1:*" "$(POD_IP)" "$(POD_IP):5000") -}}
{{- if .Values.ingress.enabled -}}
{{- $hosts = concat $hosts (list .Values.ingress.host (printf "%s:*" .Values.ingress.host)) -}}
{{- end -}}
{{- join "," (concat $hosts .Values.server.allowedHosts | uniq) -}}
{{- end -}}

{{/* A browser sends its page's origin with every change, also to the page's own server. */}}
{{- define "mlflow.corsAllowedOrigins" -}}
{{- $origins := list -}}
{{- if .Values.ingress.enabled -}}
{{- range $scheme := list "https" "http" -}}
{{- $origin := printf "%s://%s" $scheme $.Values.ingress.host -}}
{{- $origins = concat $origins (list $origin (printf "%s:*" $origin)) -}}
{{- end -}}
{{- end -}}
{{- join "," (concat $origins .Values.server.corsAllowedOrigins | uniq) -}}
{{- end -}}

{{- define "mlflow.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{/* The driver's library takes what the URI leaves out from PG* variables: so a password may hold any character, and
neither `ps` nor an error message that quotes the URI shows it. */}}
{{- define "mlflow.databaseEnv" -}}
{{- $database := .Values.database -}}
- name: PGHOST
  value: {{ $database.host | quote }}
- name: PGPORT
  value: {{ $database.port | quote }}
{{ include "mlflow.secretEnv" (dict "name" "PGUSER" "secret" $database.existingSecret "key" $database.secretKeys.username) }}
{{ include "mlflow.secretEnv" (dict "name" "PGPASSWORD" "secret" $database.existingSecret "key" $database.secretKeys.password) }}
{{ include "mlflow.secretEnv" (dict "name" "PGDATABASE" "secret" $database.existingSecret "key" $database.secretKeys.database) }}
- name: PGCONNECT_TIMEOUT
  value: "10"
- name: PGAPPNAME
  value: {{ include "runwright-common.fullname" . }}
{{- with $database.sslMode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
- name: MLFLOW_BACKEND_STORE_URI
  value: {{ printf "postgresql+psycopg2://%s:%d" $database.host ($database.port | int64) | quote }}
{{- end -}}

{{- define "mlflow.artifactsEnv" -}}
{{- $artifacts := .Values.artifacts -}}
{{- with $artifacts.endpoint }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ . | quote }}
# Stores other than Amazon's may not know the newer checksums.
- name: AWS_REQUEST_CHECKSUM_CALCULATION
  value: when_required
- name: AWS_RESPONSE_CHECKSUM_VALIDATION
  value: when_required
{{- end }}
- name: AWS_DEFAULT_REGION
  value: {{ $artifacts.region | quote }}
- name: MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE
  value: {{ $artifacts.addressingStyle }}
{{- with $artifacts.existingSecret }}
- name: AWS_EC2_METADATA_DISABLED
  value: "true"
{{ include "mlflow.secretEnv" (dict "name" "AWS_ACCESS_KEY_ID" "secret" . "key" $artifacts.secretKeys.accessKey) }}
{{ include "mlflow.secretEnv" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" . "key" $artifacts.secretKeys.secretKey) }}
{{- end }}
{{- end -}}

{{/* The root file system is read-only: everything that wants to write finds /tmp. */}}
{{- define "mlflow.processEnv" -}}
- name: HOME
  value: /tmp
- name: PYTHONUNBUFFERED
  value: "1"
- name: PYTHONDONTWRITEBYTECODE
  value: "1"
- name: GIT_PYTHON_REFRESH
  value: quiet
- name: MLFLOW_DISABLE_TELEMETRY
  value: "true"
- name: DO_NOT_TRACK
  value: "true"
{{- end -}}

{{- define "mlflow.artifactsDestination" -}}
{{- printf "s3://%s" .Values.artifacts.bucket -}}
{{- with .Values.artifacts.prefix | trimAll "/" }}/{{ . }}{{ end -}}
{{- end -}}

{{/* The S3 port for the NetworkPolicy: the endpoint's own, else its scheme's. */}}
{{- define "mlflow.artifactsPort" -}}
{{- $endpoint := .Values.artifacts.endpoint -}}
{{- $port := regexFind ":[0-9]+$" ((urlParse $endpoint).host) | trimPrefix ":" -}}
{{- if $port -}}{{ $port }}{{- else if hasPrefix "http://" $endpoint -}}80{{- else -}}443{{- end -}}
{{- end -}}

{{- define "mlflow.podAnnotations" -}}
{{- if not .Values.artifacts.presignedUrls -}}
runwright.dev/plugins: {{ .Files.Get "files/proxied_s3.py" | sha256sum | trunc 16 | quote }}
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mlflow.env" -}}
{{- include "mlflow.processEnv" . | nindent 0 }}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- include "mlflow.databaseEnv" . | nindent 0 }}
- name: MLFLOW_SQLALCHEMYSTORE_POOL_SIZE
  value: {{ .Values.database.poolSize | quote }}
- name: MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW
  value: {{ .Values.database.maxOverflow | quote }}
{{- include "mlflow.artifactsEnv" . | nindent 0 }}
- name: MLFLOW_SERVE_ARTIFACTS
  value: "true"
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: {{ include "mlflow.artifactsDestination" . | quote }}
{{- if not .Values.artifacts.presignedUrls }}
- name: PYTHONPATH
  value: /opt/runwright/plugins
{{- end }}
- name: MLFLOW_HOST
  value: 0.0.0.0
- name: MLFLOW_PORT
  value: "5000"
# More uvicorn workers add 40 ms to small answers (Nagle meets delayed ACK), and 180 MB each.
- name: MLFLOW_WORKERS
  value: "1"
# The job runner costs 1.8 GB, its endpoints had CVE-2026-0545, and tracking needs none of it.
- name: MLFLOW_SERVER_ENABLE_JOB_EXECUTION
  value: "false"
# A tracker needs no proxy to language models, of which there have been SSRF flaws.
- name: MLFLOW_ENABLE_AI_GATEWAY
  value: "false"
- name: MLFLOW_UVICORN_OPTS
  value: --timeout-keep-alive {{ .Values.server.keepAliveSeconds }}
- name: MLFLOW_SERVER_ALLOWED_HOSTS
  value: {{ include "mlflow.allowedHosts" . | quote }}
{{- with include "mlflow.corsAllowedOrigins" . }}
- name: MLFLOW_SERVER_CORS_ALLOWED_ORIGINS
  value: {{ . | quote }}
{{- end }}
{{- if .Values.metrics.enabled }}
- name: MLFLOW_EXPOSE_PROMETHEUS
  value: /tmp/prometheus
{{- end }}
{{- end -}}
