{{- define "object-store.env" -}}
- name: HOME
  value: /tmp
- name: {{ .Values.credentialsEnv.accessKey }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: {{ .Values.secretKeys.accessKey }}
- name: {{ .Values.credentialsEnv.secretKey }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: {{ .Values.secretKeys.secretKey }}
{{- end -}}
