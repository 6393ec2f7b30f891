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
{{- if $database.caSecret }}
- name: PGSSLROOTCERT
  value: /etc/mlflow/database-ca/ca.crt
{{- else if hasPrefix "verify-" $database.sslMode }}
# The library would look in a home directory only.
- name: PGSSLROOTCERT
  value: /etc/ssl/certs/ca-certificates.crt
{{- end }}
{{- end -}}

{{- define "mlflow.databaseUri" -}}
{{- printf "postgresql+psycopg2://%s:%d" .Values.database.host (.Values.database.port | int64) -}}
{{- end -}}

{{- define "mlflow.storeEnv" -}}
{{- include "mlflow.databaseEnv" . }}
- name: MLFLOW_BACKEND_STORE_URI
  value: {{ include "mlflow.databaseUri" . | quote }}
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
{{- if $artifacts.caSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/mlflow/artifacts-ca/ca.crt
{{- end }}
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

{{/* The S3 port of an endpoint for the NetworkPolicy: its own, else its scheme's. */}}
{{- define "mlflow.endpointPort" -}}
{{- $endpoint := . -}}
{{- $port := regexFind ":[0-9]+$" ((urlParse $endpoint).host) | trimPrefix ":" -}}
{{- if $port -}}{{ $port }}{{- else if hasPrefix "http://" $endpoint -}}80{{- else -}}443{{- end -}}
{{- end -}}

{{/* Only these pods serve: the jobs' pods bear the other two labels as well, by which database and store admit them. */}}
{{- define "mlflow.serverLabels" -}}
{{ include "runwright-common.selectorLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "mlflow.authConfiguration" -}}
[mlflow]
default_permission = {{ .Values.auth.defaultPermission }}
database_uri = {{ include "mlflow.databaseUri" . }}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# Checking a password takes 200 ms of CPU; a cached answer, none.
auth_cache_ttl_seconds = 60
{{- end -}}

{{/* Volumes of the authorities that database and object store are checked with, and their mounts. */}}
{{- define "mlflow.caVolumes" -}}
{{- range $name, $secret := dict "database-ca" .Values.database.caSecret "artifacts-ca" .Values.artifacts.caSecret -}}
{{- if $secret }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end }}
{{- end -}}

{{- define "mlflow.databaseCaMount" -}}
{{- if .Values.database.caSecret }}
- name: database-ca
  mountPath: /etc/mlflow/database-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "mlflow.artifactsCaMount" -}}
{{- if .Values.artifacts.caSecret }}
- name: artifacts-ca
  mountPath: /etc/mlflow/artifacts-ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* A probe's request. */}}
{{- define "mlflow.probeRequest" -}}
httpGet:
  path: /health
  port: http
  {{- if .Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
{{- end -}}

{{- define "mlflow.podAnnotations" -}}
{{- if .Values.auth.enabled }}
runwright.dev/auth: {{ include "mlflow.authConfiguration" . | sha256sum | trunc 16 | quote }}
{{- end }}
{{- if not .Values.artifacts.presignedUrls }}
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
{{- include "mlflow.storeEnv" . | nindent 0 }}
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
  value: --timeout-keep-alive {{ .Values.server.keepAliveSeconds }}{{ if .Values.tls.existingSecret }} --ssl-certfile /etc/mlflow/tls/tls.crt --ssl-keyfile /etc/mlflow/tls/tls.key{{ end }}
- name: MLFLOW_SERVER_ALLOWED_HOSTS
  value: {{ include "mlflow.allowedHosts" . | quote }}
{{- with include "mlflow.corsAllowedOrigins" . }}
- name: MLFLOW_SERVER_CORS_ALLOWED_ORIGINS
  value: {{ . | quote }}
{{- end }}
{{- if .Values.auth.enabled }}
- name: MLFLOW_AUTH_CONFIG_PATH
  value: /etc/mlflow/auth/basic_auth.ini
{{ include "mlflow.secretEnv" (dict "name" "MLFLOW_AUTH_ADMIN_USERNAME" "secret" .Values.auth.operatorSecret "key" "username") }}
{{ include "mlflow.secretEnv" (dict "name" "MLFLOW_FLASK_SERVER_SECRET_KEY" "secret" .Values.auth.operatorSecret "key" "flaskSecretKey") }}
{{- end }}
{{- if .Values.metrics.enabled }}
- name: MLFLOW_EXPOSE_PROMETHEUS
  value: /tmp/prometheus
{{- end }}
{{- end -}}
