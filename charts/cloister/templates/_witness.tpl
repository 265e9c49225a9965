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
{{- $found := list -}}
{{- if .Values.witness.enabled -}}
{{- $found = append $found (dict
  "name" "cluster" "url" (printf "https://witness.%s.svc:8444" .Values.witness.namespace.name)
  "vkeys" .Values.witness.vkeys "caFile" "/var/run/cloister/tls/ca.crt") -}}
{{- end -}}
{{- range .Values.audit.witnesses -}}
{{- $one := omit . "ca" "caFrom" -}}
{{- if .ca -}}{{- $one = merge (dict "caFile" (printf "/etc/cloister/audit/witness-%s.pem" .name)) $one -}}{{- end -}}
{{- if .caFrom -}}{{- $one = merge (dict "caFile" (printf "/etc/cloister/witness-ca/%s.pem" .name)) $one -}}{{- end -}}
{{- $found = append $found $one -}}
{{- end -}}
{{- $found | toJson -}}
{{- end }}

{{/* The ConfigMaps and Secrets that hold witnesses' authorities: kind of a projected source, name, key, file. A JSON list. */}}
{{- define "cloister.witnessCas" -}}
{{- $found := list -}}
{{- range .Values.audit.witnesses -}}
{{- $path := printf "%s.pem" .name -}}
{{- with .caFrom -}}
{{- $found = append $found (dict
  "kind" (ternary "configMap" "secret" (hasKey . "configMap"))
  "name" (.configMap | default .secret) "key" (.key | default "ca.crt") "path" $path) -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end }}
