{{/* What the operator reads at its start (tenant_operator's settings). Paths and names only, never a secret. */}}
{{- define "cloister.operatorConfig" -}}
{{- $config := dict
  "images" (dict "app" (include "cloister.image" (list $ "app")) "postgres" (include "cloister.image" (list $ "postgres")) "jobs" (include "cloister.image" (list $ "jobs")) "pdfaJudge" .Values.images.pdfaJudge)
  "version" .Chart.AppVersion
  "operatorNamespace" .Release.Namespace
  "auditNamespace" .Values.audit.namespace.name
  "auditKeysInVault" (not (empty .Values.audit.vault.address))
  "auditUrl" (printf "https://audit.%s.svc:8443" .Values.audit.namespace.name)
  "witnessNamespace" (ternary .Values.witness.namespace.name "" .Values.witness.enabled)
  "clusterDomain" .Values.clusterDomain
  "dns" .Values.dns.podLabels
  "imagePullPolicy" .Values.images.pullPolicy
  "extraIngressCidrs" .Values.ingress.extraCidrs
  "logLevel" .Values.operator.logLevel
-}}
{{- if include "cloister.webhook" . }}{{- $_ := set $config "admission" (include "cloister.admissionConfig" . | fromJson) }}{{- end -}}
{{- with .Values.ingress.className }}{{- $_ := set $config "ingressClass" . }}{{- end -}}
{{- with .Values.certificates.certManagerIssuer }}{{- $_ := set $config "certManagerIssuer" . }}{{- end -}}
{{- toPrettyJson $config -}}
{{- end }}
