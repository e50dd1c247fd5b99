{{- define "data.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/component: {{ .name | trimPrefix "renec-" }}
app.kubernetes.io/part-of: renec
app.kubernetes.io/instance: {{ .root.Values.environment | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}
{{- /* The cluster that serves. */ -}}
{{- define "data.current" -}}
{{- range .Values.database.clusters }}{{ if eq .role "current" }}{{ .name }}{{ end }}{{ end -}}
{{- end }}
{{- /* Whom a policy for PostgreSQL is about: the instances of every cluster. */ -}}
{{- define "data.instances" -}}
{{- $names := list }}
{{- range .Values.database.clusters }}{{ $names = append $names .name }}{{ end -}}
matchExpressions: {{ list (dict "key" "cnpg.io/cluster" "operator" "In" "values" $names) | toJson }}
{{- end }}
