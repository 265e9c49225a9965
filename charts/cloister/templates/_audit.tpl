{{/* The audit service's environment (audit_service.settings). */}}
{{- define "cloister.auditEnv" -}}
- {name: CLOISTER_POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
{{- range $name, $value := .Values.audit.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "cloister.auditMounts" -}}
- {name: tls, mountPath: /var/run/cloister/tls, readOnly: true}
- {name: database-superuser, mountPath: /var/run/cloister/database-superuser, readOnly: true}
- {name: keys, mountPath: /var/run/cloister/keys, readOnly: true}
- {name: apiserver, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
- {name: tokens, mountPath: /var/run/cloister/tokens, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}
