{{/* What the audit service reads at its start (audit_service.settings). Paths and names only, never a secret. */}}
{{- define "cloister.auditConfig" -}}
{{- $ns := .Values.audit.namespace.name -}}
{{- $secrets := "/var/run/cloister" -}}
{{- $account := "/var/run/secrets/kubernetes.io/serviceaccount" -}}
{{- dict
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
    "platformAuditors" (list (printf "system:serviceaccount:%s:platform-auditor" $ns)))
  "keys" (dict
    "ed25519File" (print $secrets "/audit-keys/ed25519.pem")
    "mlDsa44File" (print $secrets "/audit-keys/ml-dsa-44.pem")
    "sealingFile" (print $secrets "/audit-keys/sealing.key"))
  "worm" (dict
    "storesFile" (print $secrets "/audit-worm/stores.json")
    "platformRegion" .Values.audit.copies.platformRegion
    "platformRetentionDays" .Values.audit.copies.platformRetentionDays
    "lagSeconds" .Values.audit.copies.lagSeconds)
| toPrettyJson -}}
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
