{{- define "callfare.labels" -}}
app.kubernetes.io/name: callfare
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
