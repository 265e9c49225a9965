{{/* The binding that puts a ValidatingAdmissionPolicy of the same name in force. */}}
{{- define "cloister.deny" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels: {{- include "cloister.labels" (list (index . 0) "admission") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
{{- end }}

{{/* A match condition: everybody but the operator. */}}
{{- define "cloister.notOperator" -}}
- name: not-the-operator
  expression: request.userInfo.username != '{{ include "cloister.user" . }}'
{{- end }}
