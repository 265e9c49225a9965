{{/* The operator's user name, as the API server authenticates it. */}}
{{- define "cloister.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:cloister-operator
{{- end }}

{{/* Image reference of a component: (list $ "operator"). */}}
{{- define "cloister.image" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $images := $root.Values.images -}}
{{- $reference := index $images $component -}}
{{- if eq $component "jobs" -}}{{- $reference = $reference | default $images.operator -}}{{- $component = "operator" -}}{{- end -}}
{{- $reference | default (printf "%s/%s:%s" $images.registry $component ($images.tag | default $root.Chart.AppVersion)) -}}
{{- end }}

{{/* Labels that select a component's pods: (list $ "operator"). */}}
{{- define "cloister.selector" -}}
app.kubernetes.io/name: cloister
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The same as JSON, for one line of a policy. */}}
{{- define "cloister.match" -}}
{{ include "cloister.selector" . | fromYaml | toJson }}
{{- end }}

{{/* Labels of every object of a component: (list $ "operator"). */}}
{{- define "cloister.labels" -}}
{{ include "cloister.selector" . }}
app.kubernetes.io/part-of: cloister
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{/* Pod Security `restricted`, as the user every image of ours runs as. */}}
{{- define "cloister.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cloister.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a component's pods run and what pulls their images: (dict "root" $ "of" .Values.operator). */}}
{{- define "cloister.placement" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The API server's addresses behind its Service, as a JSON list: given, or looked up in the cluster. */}}
{{- define "cloister.apiServerCidrs" -}}
{{- $cidrs := .Values.apiServer.cidrs -}}
{{- if not $cidrs -}}
  {{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "").items -}}
    {{- if eq (index (.metadata.labels | default dict) "kubernetes.io/service-name" | default "") "kubernetes" -}}
      {{- $bits := ternary 128 32 (eq .addressType "IPv6") -}}
      {{- range .endpoints -}}{{- range .addresses -}}
        {{- $cidrs = append $cidrs (printf "%s/%d" . $bits) -}}
      {{- end -}}{{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if not $cidrs -}}
  {{- fail "\n\nSet apiServer.cidrs: the network policies must name the API server's addresses, and there is no cluster here to look them up in.\n  kubectl get endpointslices kubernetes -o jsonpath='{.endpoints[*].addresses}'\n  --set 'apiServer.cidrs={10.0.0.1/32}'\n" -}}
{{- end -}}
{{- uniq $cidrs | toJson -}}
{{- end }}

{{/* Egress rules of a NetworkPolicy. */}}
{{- define "cloister.egressApiServer" -}}
- to:
    {{- range include "cloister.apiServerCidrs" . | fromJsonArray }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .Values.apiServer.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "cloister.egressDns" -}}
- to:
    - namespaceSelector: {matchLabels: {{ toJson .Values.dns.namespaceLabels }}}
      podSelector: {matchLabels: {{ toJson .Values.dns.podLabels }}}
  ports:
    {{- range .Values.dns.ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "cloister.egressListed" -}}
{{- range .namespaces }}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .name }}}}
  ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- range .cidrs }}
- to:
    - ipBlock: {cidr: {{ .cidr | quote }}}
  ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end }}
