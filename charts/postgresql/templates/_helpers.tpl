{{- define "postgresql.args" -}}
{{- if .Values.args -}}
{{- toYaml .Values.args -}}
{{- else -}}
- postgres
- -c
- config_file=/etc/postgresql-config/postgresql.conf
{{- end -}}
{{- end -}}

{{/* A value of postgresql.conf: quoted, with quotes doubled. */}}
{{- define "postgresql.quote" -}}
'{{ . | toString | replace "'" "''" }}'
{{- end -}}

{{- define "postgresql.conf" -}}
listen_addresses = '*'
port = 5432
max_connections = {{ .Values.maxConnections | int64 }}
password_encryption = 'scram-sha-256'
{{- range $name, $value := .Values.configuration }}
{{ $name }} = {{ include "postgresql.quote" $value }}
{{- end }}
{{- end -}}

{{- define "postgresql.secretKeyRef" -}}
valueFrom:
  secretKeyRef:
    name: {{ .root.Values.existingSecret }}
    key: {{ .key }}
{{- end -}}
