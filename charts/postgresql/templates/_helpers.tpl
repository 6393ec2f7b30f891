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
{{- if .Values.tls.existingSecret }}
ssl = on
ssl_cert_file = '/etc/postgresql-tls/tls.crt'
ssl_key_file = '/etc/postgresql-tls/tls.key'
{{- end }}
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

{{- define "postgresql.env" -}}
- name: PGDATA
  value: {{ include "postgresql.volume" . }}/pgdata
- name: POSTGRES_USER
  value: postgres
# Replaced by NULL as soon as the application's role exists.
- name: POSTGRES_PASSWORD
  {{- include "postgresql.secretKeyRef" (dict "root" . "key" .Values.secretKeys.password) | nindent 2 }}
- name: APP_USERNAME
  {{- include "postgresql.secretKeyRef" (dict "root" . "key" .Values.secretKeys.username) | nindent 2 }}
- name: APP_PASSWORD
  {{- include "postgresql.secretKeyRef" (dict "root" . "key" .Values.secretKeys.password) | nindent 2 }}
- name: APP_DATABASE
  {{- include "postgresql.secretKeyRef" (dict "root" . "key" .Values.secretKeys.database) | nindent 2 }}
{{- end -}}

{{/* Not /var/lib/postgresql/data: postgres:18 refuses that, and below it the images up to 17 declare a volume of their
own, which would hide this one. */}}
{{- define "postgresql.volume" -}}
/var/lib/postgresql
{{- end -}}
