{{/* What the audit service reads at its start (audit_service.settings). Paths and names only, never a secret. */}}
{{- define "cloister.auditConfig" -}}
{{- $ns := .Values.audit.namespace.name -}}
{{- $secrets := "/var/run/cloister" -}}
{{- $account := "/var/run/secrets/kubernetes.io/serviceaccount" -}}
{{- $keys := dict
  "ed25519File" (print $secrets "/audit-keys/ed25519.pem")
  "mlDsa44File" (print $secrets "/audit-keys/ml-dsa-44.pem")
  "sealingFile" (print $secrets "/audit-keys/sealing.key") -}}
{{- if .Values.audit.nextKeysSecret -}}
{{- $_ := set $keys "nextFolder" (print $secrets "/audit-keys-next") -}}
{{- end -}}
{{- $authorities := list -}}
{{- range .Values.audit.timestamps.authorities -}}
{{- $authorities = append $authorities (dict "name" .name "url" .url "rootsFile" (printf "/etc/cloister/audit/tsa-%s.pem" .name)) -}}
{{- end -}}
{{- $config := dict
  "install" .Values.install
  "listen" (dict "host" "0.0.0.0" "port" 8443 "certFile" (print $secrets "/tls/tls.crt") "keyFile" (print $secrets "/tls/tls.key"))
  "database" (dict
    "host" (printf "audit-database.%s.svc" $ns) "port" 5432 "name" "audit"
    "user" "audit_service" "passwordFile" (print $secrets "/database-service/password")
    "caFile" (print $secrets "/tls/ca.crt")
    "admin" (dict "user" "postgres" "passwordFile" (print $secrets "/database-superuser/password")))
  "identity" (dict
    "issuer" (.Values.serviceAccountIssuer | default (printf "https://kubernetes.default.svc.%s" .Values.clusterDomain))
    "audience" "cloister-audit"
    "jwksUrl" "https://kubernetes.default.svc/openid/v1/jwks"
    "jwksCaFile" (print $account "/ca.crt") "jwksTokenFile" (print $account "/token")
    "operator" (include "cloister.user" .)
    "admission" (printf "system:serviceaccount:%s:cloister-admission" .Release.Namespace)
    "platformAuditors" (list (printf "system:serviceaccount:%s:platform-auditor" $ns)))
  "keys" $keys
  "worm" (dict
    "storesFile" (print $secrets "/audit-worm/stores.json")
    "platformRegion" .Values.audit.copies.platformRegion
    "platformRetentionDays" .Values.audit.copies.platformRetentionDays
    "lagSeconds" .Values.audit.copies.lagSeconds)
  "timestamps" (dict "everySeconds" .Values.audit.timestamps.everySeconds "authorities" $authorities)
  "guardFolder" "/var/lib/cloister/audit-guard"
  "witnesses" (include "cloister.witnesses" . | fromJsonArray)
  "quorum" .Values.audit.quorum -}}
{{- with .Values.audit.vault.address -}}
{{- if $.Values.audit.nextKeysSecret -}}
{{- fail "\n\naudit.nextKeysSecret: with audit.vault the keys that take over are named by audit.vault.nextKeyVersion; unset it.\n" -}}
{{- end -}}
{{- $vault := merge (dict "tokenFile" (print $secrets "/tokens/vault")) (omit $.Values.audit.vault "ca") -}}
{{- if $.Values.audit.vault.ca -}}{{- $_ := set $vault "caFile" "/etc/cloister/audit/vault-ca.pem" -}}{{- end -}}
{{- $_ := set $config "vault" $vault -}}
{{- end -}}
{{- $config | toPrettyJson -}}
{{- end }}

{{- define "cloister.auditEnv" -}}
- {name: CLOISTER_AUDIT_CONFIG, value: /etc/cloister/audit/config.json}
{{- end }}

{{- define "cloister.auditMounts" -}}
- {name: config, mountPath: /etc/cloister/audit, readOnly: true}
- {name: tls, mountPath: /var/run/cloister/tls, readOnly: true}
- {name: database-service, mountPath: /var/run/cloister/database-service, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}
