{{/* The backup's and the restore's containers. */}}

{{/* One end of a copy: (dict "role" "SOURCE" "at" <location> "secretKeys" <of at.existingSecret> "ca" <its file>) */}}
{{- define "mlflow.endEnv" -}}
{{- range $name, $value := dict "ENDPOINT" .at.endpoint "REGION" .at.region "BUCKET" .at.bucket "PREFIX" .at.prefix "ADDRESSING_STYLE" .at.addressingStyle "CA_FILE" (.at.caSecret | empty | ternary "" .ca) }}
{{- if $value }}
- name: {{ $.role }}_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- with .at.existingSecret }}
{{ include "mlflow.secretEnv" (dict "name" (printf "%s_ACCESS_KEY_ID" $.role) "secret" . "key" $.secretKeys.accessKey) }}
{{ include "mlflow.secretEnv" (dict "name" (printf "%s_SECRET_ACCESS_KEY" $.role) "secret" . "key" $.secretKeys.secretKey) }}
{{- end }}
{{- end -}}

{{- define "mlflow.artifactsEnd" -}}
{{ include "mlflow.endEnv" (dict "role" .role "at" .root.Values.artifacts "secretKeys" .root.Values.artifacts.secretKeys "ca" "/etc/mlflow/artifacts-ca/ca.crt") | trim }}
{{- end -}}

{{- define "mlflow.backupEnd" -}}
{{ include "mlflow.endEnv" (dict "role" .role "at" .at "secretKeys" (dict "accessKey" "accessKey" "secretKey" "secretKey") "ca" "/etc/mlflow/backup-ca/ca.crt") | trim }}
{{- end -}}

{{/* A container of the job: (dict "root" $ "name" ... "image" <values> "command" ... "env" <YAML> "mounts" <YAML>) */}}
{{- define "mlflow.backupContainer" -}}
- name: {{ .name }}
  image: {{ include "runwright-common.image" (dict "Values" (dict "image" .image)) }}
  imagePullPolicy: {{ .image.pullPolicy }}
  command: {{ toJson .command }}
  env:
    {{- include "mlflow.processEnv" .root | nindent 4 }}
    {{- include "mlflow.databaseEnv" .root | nindent 4 }}
    - name: WORK
      value: /work
    {{- with .env }}
    {{- . | trim | nindent 4 }}
    {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "runwright-common.containerSecurityContext" .root | nindent 4 }}
  resources:
    {{- toYaml .root.Values.resources | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: work
      mountPath: /work
    - name: programs
      mountPath: /opt/runwright/backup
      readOnly: true
    {{- include "mlflow.databaseCaMount" .root | nindent 4 }}
    {{- if .stores }}
    {{- include "mlflow.artifactsCaMount" .root | nindent 4 }}
    {{- with .stores.caSecret }}
    - name: backup-ca
      mountPath: /etc/mlflow/backup-ca
      readOnly: true
    {{- end }}
    {{- end }}
{{- end -}}

{{/* (dict "root" $ "temporaryStorage" ... "at" <location>) */}}
{{- define "mlflow.backupVolumes" -}}
- name: work
  emptyDir:
    sizeLimit: {{ .temporaryStorage }}
- name: programs
  configMap:
    name: {{ include "runwright-common.fullname" .root }}-backup-programs
{{- with .at.caSecret }}
- name: backup-ca
  secret:
    secretName: {{ . }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end -}}

{{- define "mlflow.restoreVolumes" -}}
{{- include "mlflow.backupVolumes" (dict "root" . "temporaryStorage" .Values.restore.temporaryStorage "at" .Values.restore.source) -}}
{{- end -}}

{{- define "mlflow.restoreEnv" -}}
{{ include "mlflow.backupEnd" (dict "role" "SOURCE" "at" .Values.restore.source) }}
{{ include "mlflow.artifactsEnd" (dict "role" "DESTINATION" "root" .) }}
- name: BACKUP
  value: {{ .Values.restore.backup | quote }}
- name: PARALLEL
  value: {{ .Values.restore.parallel | quote }}
- name: WAIT_SECONDS
  value: {{ .Values.waitSeconds | quote }}
{{- end -}}

{{- define "mlflow.restoreContainers" -}}
{{- $restore := .Values.restore -}}
{{- $_ := required "restore.source.bucket: name the bucket of the backup, or set restore.enabled to false" $restore.source.bucket -}}
{{ include "mlflow.backupContainer" (dict "root" . "name" "restore" "image" .Values.image "command" (list "python3" "/opt/runwright/backup/restore.py") "env" (include "mlflow.restoreEnv" .) "stores" $restore.source) }}
{{ include "mlflow.backupContainer" (dict "root" . "name" "restore-database" "image" $restore.image "command" (list "sh" "/opt/runwright/backup/load.sh")) }}
{{- end -}}
