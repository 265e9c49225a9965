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
  "listen" (dict "fronts" .Values.audit.fronts "host" "0.0.0.0" "port" 8443 "certFile" (print $secrets "/tls/tls.crt") "keyFile" (print $secrets "/tls/tls.key"))
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

{{/* How the audit log's PostgreSQL is run: the files of its ConfigMap. */}}
{{- define "cloister.auditDatabaseConfig" -}}
postgresql.conf: |
  listen_addresses = '*'
  port = 5432
  unix_socket_directories = '/var/run/postgresql'
  unix_socket_permissions = 0700
  max_connections = 50
  ssl = on
  ssl_cert_file = '/var/run/cloister/tls/tls.crt'
  ssl_key_file = '/var/run/cloister/tls/tls.key'
  ssl_ca_file = '/var/run/cloister/tls/ca.crt'
  ssl_min_protocol_version = 'TLSv1.3'
  password_encryption = 'scram-sha-256'
  {{- .Files.Get "files/audit-postgresql.conf" | trim | nindent 2 }}
  tcp_keepalives_idle = 60
  log_destination = 'stderr'
  logging_collector = off
  log_connections = on
  log_checkpoints = off
  log_line_prefix = '%m [%p] %q%u@%d %h '
  # Values of parameters are entries' contents.
  log_parameter_max_length = 0
  log_parameter_max_length_on_error = 0
  log_timezone = 'UTC'
  timezone = 'UTC'
pg_hba.conf: |
  # The entry point of the image, inside the pod.
  local    all    postgres                     peer map=cloister
  local    all    all                          reject
  hostssl  all    postgres       all           scram-sha-256
  hostssl  audit  audit_service  all           scram-sha-256
  host     all    all            all           reject
{{- end }}
