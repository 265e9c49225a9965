{{/* What the witness reads at its start (audit_service.witness.config). Its keys are its own: it makes them in its volume. */}}
{{- define "cloister.witnessConfig" -}}
{{- dict
  "name" (.Values.witness.name | default (printf "%s/witness" .Values.install))
  "storage" "/var/lib/cloister/witness"
  "listen" (dict "host" "0.0.0.0" "port" 8444 "certFile" "/var/run/cloister/tls/tls.crt" "keyFile" "/var/run/cloister/tls/tls.key")
  "logs" (list (dict
    "prefix" (printf "%s/audit/" .Values.install)
    "vkeys" .Values.witness.logKeys
    "vkeysFile" "/var/run/cloister/logs/vkeys"))
| toPrettyJson -}}
{{- end }}

{{/* The witnesses that the audit service asks: this chart's own first, then those that values name. A JSON list. */}}
{{- define "cloister.witnesses" -}}
{{- $found := .Values.audit.witnesses -}}
{{- if .Values.witness.enabled -}}
{{- $own := dict
  "name" "cluster" "url" (printf "https://witness.%s.svc:8444" .Values.witness.namespace.name)
  "vkeys" .Values.witness.vkeys "caFile" "/var/run/cloister/tls/ca.crt" -}}
{{- $found = prepend $found $own -}}
{{- end -}}
{{- $found | toJson -}}
{{- end }}
