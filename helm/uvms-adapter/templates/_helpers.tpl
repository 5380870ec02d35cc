{{- define "uvms-adapter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: a StatefulSet puts its name and a hash of 10 into a label of 63. */}}
{{- define "uvms-adapter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "uvms-adapter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "uvms-adapter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "uvms-adapter.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.labels" -}}
{{ include "uvms-adapter.selectorLabels" . }}
{{ include "uvms-adapter.commonLabels" . }}
{{- end }}

{{/* The Pod of `helm test`: its labels must not make it an endpoint of the Service. */}}
{{- define "uvms-adapter.testLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "uvms-adapter.name" . | trunc 58 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "uvms-adapter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "uvms-adapter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.image" -}}
{{- with .Values.image }}
{{- $repository := required "image.repository is missing: build the image with the project's Dockerfile, push it to a registry of yours, and say where it is" .repository }}
{{- with .registry }}{{ . }}/{{ end }}{{ $repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.configName" -}}
{{- with .Values.configFrom }}
{{- .existingConfigMap | default .existingSecret | default (printf "%s-config" (include "uvms-adapter.fullname" $)) }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.secretName" -}}
{{- default (printf "%s-secrets" (include "uvms-adapter.fullname" .)) .Values.existingSecret.name }}
{{- end }}

{{/*
The secrets in use, as YAML: the name in values -> the key, which is the name of the mounted file.
A former secret may be missing, and its file is always looked for where there is a present one: so a
rotation needs no restart.
*/}}
{{- define "uvms-adapter.secretKeys" -}}
{{- $keys := dict }}
{{- range $name, $value := .Values.secrets }}
{{- $present := trimSuffix "Previous" $name }}
{{- if $.Values.existingSecret.name }}
{{- if and (index $.Values.existingSecret.keys $present) (index $.Values.existingSecret.keys $name) }}
{{- $_ := set $keys $name (index $.Values.existingSecret.keys $name) }}
{{- end }}
{{- else if index $.Values.secrets $present }}
{{- $_ := set $keys $name (kebabcase $name) }}
{{- end }}
{{- end }}
{{- toYaml $keys }}
{{- end }}

{{/* What cannot be checked value by value, and would only end in a Pod that does not start. */}}
{{- define "uvms-adapter.check" -}}
{{- $keys := include "uvms-adapter.secretKeys" . | fromYaml }}
{{- $configs := compact (list (empty .Values.config | ternary "" "config") (empty .Values.configFrom.existingConfigMap | ternary "" "configFrom.existingConfigMap") (empty .Values.configFrom.existingSecret | ternary "" "configFrom.existingSecret")) }}
{{- if not $configs }}
{{- fail "there is no routes.yaml, so nobody could be called: set config, configFrom.existingConfigMap or configFrom.existingSecret" }}
{{- end }}
{{- if gt (len $configs) 1 }}
{{- fail (printf "there are several routes.yaml: %s are set; keep one of them" (join " and " $configs)) }}
{{- end }}
{{- if .Values.existingSecret.name }}
{{- range $name, $value := .Values.secrets }}
{{- if $value }}
{{- fail (printf "secrets.%s and existingSecret.name are both set: put the value into that Secret, or unset existingSecret.name" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.secrets }}
{{- if and $value (not (hasKey $keys $name)) }}
{{- fail (printf "secrets.%s is set without secrets.%s: a former secret is accepted only beside the present one" $name (trimSuffix "Previous" $name)) }}
{{- end }}
{{- end }}
{{- if ne (hasKey $keys "publicKey") (hasKey $keys "privateKey") }}
{{- fail "of publicKey and privateKey only one is set: set both or neither" }}
{{- end }}
{{- if not (or .Values.simulate (hasKey $keys "publicKey")) }}
{{- fail "no phone could ring: set secrets.publicKey and secrets.privateKey, or existingSecret.name, or simulate=true to try things out without an account" }}
{{- end }}
{{- if ne (hasKey $keys "webhookPassword") (not (empty .Values.webhook.username)) }}
{{- fail "basic auth needs both webhook.username and a webhookPassword: set both or neither" }}
{{- end }}
{{- if not (or .Values.insecureNoAuth (hasKey $keys "webhookToken") (hasKey $keys "webhookPassword") (hasKey $keys "webhookHmacSecret")) }}
{{- fail "nobody could post a webhook: set secrets.webhookToken (or a user and password, or an HMAC secret), or existingSecret.name, or insecureNoAuth=true to let anybody ring phones" }}
{{- end }}
{{- end }}
