{{/* Labels of every object; the argument is (dict "root" $ "name" NAME). */}}
{{- define "renec.labels" -}}
app.kubernetes.io/name: renec-{{ .name }}
app.kubernetes.io/component: {{ .name }}
app.kubernetes.io/part-of: renec
app.kubernetes.io/instance: {{ .root.Values.environment | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "renec.selector" -}}
app.kubernetes.io/component: {{ .name }}
app.kubernetes.io/part-of: renec
{{- end }}

{{/* What the "restricted" policy of pod security asks for. */}}
{{- define "renec.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user | default 10001 }}
runAsGroup: {{ .user | default 10001 }}
fsGroup: {{ .user | default 10001 }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "renec.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Replicas apart from each other: nodes must differ where they can, zones should. */}}
{{- define "renec.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {{ include "renec.selector" . | fromYaml | toJson }}}
  matchLabelKeys: [pod-template-hash]
{{- if .root.Values.nodePlacement.zones }}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {{ include "renec.selector" . | fromYaml | toJson }}}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* One environment variable from a workload's Secret. */}}
{{- define "renec.secretVariable" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: renec-{{ .name }}, key: {{ .key | default .variable }}}}
{{- end }}

{{/* A workload's variables: its Secret's, then the addresses that are made of them, then the plain ones. */}}
{{- define "renec.env" -}}
{{- $v := .root.Values }}{{ $name := .name }}
{{- $database := mergeOverwrite (deepCopy $v.database) (.workload.database | default dict) }}
{{- range $variable := .workload.secrets }}
{{ include "renec.secretVariable" (dict "name" $name "variable" $variable) }}
{{- end }}
{{- if has "DATABASE_PASSWORD" .workload.secrets }}
{{ include "renec.secretVariable" (dict "name" $name "variable" "DATABASE_PASSWORD_QUOTED") }}
- name: DATABASE_URL
  value: "postgresql://{{ $database.user }}:$(DATABASE_PASSWORD_QUOTED)@{{ $database.host }}:{{ $database.port }}/{{ $database.name }}{{ $database.options }}"
{{- end }}
{{- if has "REDIS_PASSWORD" .workload.secrets }}
{{ include "renec.secretVariable" (dict "name" $name "variable" "REDIS_PASSWORD_QUOTED") }}
- name: REDIS_URL
  value: "{{ ternary "rediss" "redis" $v.broker.tls }}://:$(REDIS_PASSWORD_QUOTED)@{{ $v.broker.host }}:{{ $v.broker.port }}/{{ $v.broker.database }}"
- name: CACHE_URL
  value: "{{ ternary "rediss" "redis" $v.cache.tls }}://:$(REDIS_PASSWORD_QUOTED)@{{ $v.cache.host }}:{{ $v.cache.port }}/{{ $v.cache.database }}"
{{- end }}
{{- if has "RENEC_API_KEY" .workload.secrets }}
- name: RENEC_API_KEYS
  value: $(RENEC_API_KEY)
{{- end }}
{{- range $variable, $value := .workload.environment }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* A workload's pod; (dict "root" $ "name" NAME "workload" VALUES "image" IMAGE "slot" SLOT). */}}
{{- define "renec.pod" -}}
{{- $w := .workload }}
metadata:
  labels:
    {{- include "renec.labels" . | nindent 4 }}
    {{- with .slot }}
    renec.io/slot: {{ . }}
    {{- end }}
  annotations:
    checksum/configuration: {{ list $w.environment .root.Values.database .root.Values.broker .root.Values.cache | toJson | sha256sum }}
    checksum/secrets: {{ .root.Values.secretsRevision | quote }}
spec:
  serviceAccountName: renec-{{ .name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  priorityClassName: {{ .root.Release.Namespace }}-{{ $w.priority }}
  terminationGracePeriodSeconds: {{ $w.graceSeconds }}
  securityContext: {{ include "renec.podSecurity" (dict "user" $w.user) | fromYaml | toJson }}
  {{- if ne $w.kind "singleton" }}
  topologySpreadConstraints:
    {{- include "renec.spread" . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ .image }}
      {{- with $w.command }}
      command: {{ toJson . }}
      {{- end }}
      env:
        {{- include "renec.env" . | trim | nindent 8 }}
      {{- with $w.ports }}
      ports:
        {{- range $port, $number := . }}
        - {name: {{ $port }}, containerPort: {{ $number }}, protocol: TCP}
        {{- end }}
      {{- end }}
      resources: {{ toJson $w.resources }}
      securityContext: {{ include "renec.containerSecurity" . | fromYaml | toJson }}
      {{- range $probe, $settings := $w.probes }}
      {{ $probe }}Probe: {{ toJson $settings }}
      {{- end }}
      {{- if $w.preStopSeconds }}
      # The Service's clients go on for a moment with what they knew.
      lifecycle: {preStop: {exec: {command: [sleep, {{ $w.preStopSeconds | quote }}]}}}
      {{- end }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $w.dataDirectory }}
        - {name: data, mountPath: {{ $w.dataDirectory }}}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ $w.tmpSize | default "256Mi" }}}
    {{- if $w.dataDirectory }}
    - name: data
      emptyDir: {sizeLimit: 16Mi}
    {{- end }}
{{- end }}
