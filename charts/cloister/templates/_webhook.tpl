{{/* Whether the admission webhook is installed: "true" or nothing. */}}
{{- define "cloister.webhook" -}}
{{- if and .Values.admission.enabled .Values.admission.webhook.enabled }}true{{ end -}}
{{- end }}

{{/* Where the API server calls it: (list $ "/stamp"). */}}
{{- define "cloister.webhookClient" -}}
service: {name: cloister-admission, namespace: {{ (index . 0).Release.Namespace }}, path: {{ index . 1 }}, port: 9443}
{{- end }}

{{/* Our own kinds and nothing else; never a subresource, so never a status. Tests compare the list with the models. */}}
{{- define "cloister.webhookRule" -}}
apiGroups: [cloister.dev]
apiVersions: [v1alpha1]
resources: [regions, tenantclasses, tenants, tenantrecords, tenantoffboardings, tenantapprovals, tenantholds]
scope: Cluster
{{- end }}

{{/*
Both webhooks, every field said, so that the operator can tell when somebody alters one. The operator's own writes are left
out: each has its intent and its outcome in the log already, and asking itself could lock it up. So are changes that leave
the spec alone: a finalizer's removal and a label never wait for anybody.
*/}}
{{- define "cloister.mutatingWebhooks" -}}
- name: stamp.admission.cloister.dev
  admissionReviewVersions: [v1]
  clientConfig: {{- include "cloister.webhookClient" (list . "/stamp") | nindent 4 }}
  failurePolicy: Fail
  matchPolicy: Equivalent
  namespaceSelector: {}
  objectSelector: {}
  reinvocationPolicy: IfNeeded
  sideEffects: None
  timeoutSeconds: 3
  rules:
    - operations: [CREATE, UPDATE]
      {{- include "cloister.webhookRule" . | nindent 6 }}
  matchConditions:
    {{- include "cloister.notOperator" . | nindent 4 }}
    - name: the-spec-or-the-stamp-changes
      expression: >-
        request.operation != 'UPDATE' || !has(object.spec) || !has(oldObject.spec) || object.spec != oldObject.spec
        || object.metadata.?annotations[?'cloister.dev/admission'].orValue('')
        != oldObject.metadata.?annotations[?'cloister.dev/admission'].orValue('')
{{- end }}

{{- define "cloister.validatingWebhooks" -}}
- name: record.admission.cloister.dev
  admissionReviewVersions: [v1]
  clientConfig: {{- include "cloister.webhookClient" (list . "/record") | nindent 4 }}
  failurePolicy: Fail
  matchPolicy: Equivalent
  namespaceSelector: {}
  objectSelector: {}
  sideEffects: NoneOnDryRun
  timeoutSeconds: 5
  rules:
    - operations: [CREATE, UPDATE, DELETE]
      {{- include "cloister.webhookRule" . | nindent 6 }}
  matchConditions:
    {{- include "cloister.notOperator" . | nindent 4 }}
    - name: the-spec-changes
      expression: >-
        request.operation != 'UPDATE' || !has(object.spec) || !has(oldObject.spec) || object.spec != oldObject.spec
{{- end }}

{{/* One configuration without its caBundle: (list $ "Mutating"). */}}
{{- define "cloister.webhookConfiguration" -}}
{{- $kind := index . 1 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: {{ $kind }}WebhookConfiguration
metadata: {name: cloister-admission}
webhooks: {{- include (printf "cloister.%sWebhooks" (lower $kind)) (index . 0) | nindent 2 }}
{{- end }}

{{/* What the operator is told of it. */}}
{{- define "cloister.admissionConfig" -}}
{{- dict
  "configurations" (list (include "cloister.webhookConfiguration" (list . "Mutating") | fromYaml) (include "cloister.webhookConfiguration" (list . "Validating") | fromYaml))
  "putsTrust" (empty .Values.admission.webhook.caBundle) | toJson -}}
{{- end }}
