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

{{/* Metadata with labels and annotations of one's own. Takes root, values, and a suffix of the name. */}}
{{- define "uvms-adapter.extendedMetadata" -}}
name: {{ include "uvms-adapter.fullname" .root }}{{ default "" .suffix }}
namespace: {{ include "uvms-adapter.namespace" .root }}
labels:
  {{- include "uvms-adapter.labels" .root | nindent 2 }}
  {{- with .values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
The secrets in use that stand in a Secret, as YAML: the name in values -> the key, which is the name
of the mounted file. A former secret may be missing, and its file is always looked for where there is a present one: so a
rotation needs no restart.
*/}}
{{- define "uvms-adapter.secretKeys" -}}
{{- $keys := dict }}
{{- range $name, $value := .Values.secrets }}
{{- $present := trimSuffix "Previous" $name }}
{{- if hasKey $.Values.secretFiles $name }}
{{- continue }}
{{- end }}
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

{{/* All secrets in use, as YAML: the name in values -> the file. */}}
{{- define "uvms-adapter.secretPaths" -}}
{{- $paths := deepCopy .Values.secretFiles }}
{{- range $name, $key := include "uvms-adapter.secretKeys" . | fromYaml }}
{{- $_ := set $paths $name (printf "/run/secrets/uvms-adapter/%s" $key) }}
{{- end }}
{{- toYaml $paths }}
{{- end }}

{{/* Where traces go, and whose they are; what kind of service it is, it says itself. */}}
{{- define "uvms-adapter.tracingEnv" -}}
{{- if .Values.tracing.endpoint }}
{{- $attributes := list }}
{{- range $name, $value := merge (deepCopy .Values.tracing.resourceAttributes) (dict "k8s.namespace.name" (include "uvms-adapter.namespace" .) "k8s.pod.name" "$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME)") }}
{{- $attributes = append $attributes (printf "%s=%s" $name $value) }}
{{- end -}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .Values.tracing.endpoint | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," $attributes | quote }}
{{- end }}
{{- end }}

{{/* How senders of webhooks prove themselves, but for the secrets. */}}
{{- define "uvms-adapter.webhookEnv" -}}
{{- with .Values.webhook.username }}
- name: UVMS_WEBHOOK_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- with .Values.webhook.hmacHeader }}
- name: UVMS_WEBHOOK_HMAC_HEADER
  value: {{ . | quote }}
{{- end }}
{{- with .Values.webhook.hmacTimestampHeader }}
- name: UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.storeSecretName" -}}
{{- default (printf "%s-store" (include "uvms-adapter.fullname" .)) .Values.store.existingSecret.name }}
{{- end }}

{{/* The URLs of PostgreSQL, as YAML: the variable -> the key, which is the name of the mounted file. */}}
{{- define "uvms-adapter.storeKeys" -}}
{{- $keys := dict }}
{{- with .Values.store }}
{{- if .existingSecret.name }}
{{- $_ := set $keys "UVMS_DATABASE_URL" .existingSecret.databaseUrlKey }}
{{- with .existingSecret.listenUrlKey }}
{{- $_ := set $keys "UVMS_DATABASE_LISTEN_URL" . }}
{{- end }}
{{- else }}
{{- $_ := set $keys "UVMS_DATABASE_URL" "database-url" }}
{{- if .listenUrl }}
{{- $_ := set $keys "UVMS_DATABASE_LISTEN_URL" "listen-url" }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $keys }}
{{- end }}

{{/* How many Pods there are; the fewest, where they are scaled. */}}
{{- define "uvms-adapter.replicas" -}}
{{- if eq .Values.store.type "sqlite" }}1
{{- else if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}
{{- else }}{{ default 2 .Values.replicaCount }}
{{- end }}
{{- end }}

{{/* The `job` of our series: what ServiceMonitor or PodMonitor make it, see prometheusRule.selector. */}}
{{- define "uvms-adapter.job" -}}
{{- if .Values.podMonitor.enabled }}{{ include "uvms-adapter.namespace" . }}/{{ end }}
{{- include "uvms-adapter.fullname" . }}
{{- end }}

{{/* What cannot be checked value by value, and would only end in a Pod that does not start. */}}
{{- define "uvms-adapter.check" -}}
{{- $secrets := include "uvms-adapter.secretPaths" . | fromYaml }}
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
{{- if and $value (hasKey $.Values.secretFiles $name) }}
{{- fail (printf "secrets.%s and secretFiles.%s are both set: keep one of them" $name $name) }}
{{- end }}
{{- if and $value (not (hasKey $secrets $name)) }}
{{- fail (printf "secrets.%s is set without secrets.%s: a former secret is accepted only beside the present one" $name (trimSuffix "Previous" $name)) }}
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.secretFiles }}
{{- if not (hasKey $secrets (trimSuffix "Previous" $name)) }}
{{- fail (printf "secretFiles.%s is set, and there is no %s: a former secret is accepted only beside the present one" $name (trimSuffix "Previous" $name)) }}
{{- end }}
{{- end }}
{{- range tuple "receiptsSecret" "receiptsSecretPrevious" }}
{{- $value := index $.Values.secrets . }}
{{- if and $value (not (regexMatch "^[A-Za-z0-9_-]{16,}$" $value)) }}
{{- fail (printf "secrets.%s is part of a URL and must not be guessed: take 16 or more of A-Z a-z 0-9 _ -, such as `openssl rand -hex 32` gives" .) }}
{{- end }}
{{- end }}
{{- range tuple "linkSecret" "linkSecretPrevious" }}
{{- $value := index $.Values.secrets . }}
{{- if and $value (lt (len $value) 16) }}
{{- fail (printf "secrets.%s could be guessed: take 16 or more characters, such as `openssl rand -hex 32` gives" .) }}
{{- end }}
{{- end }}
{{- if and (or .Values.receipts.ingress.enabled .Values.receipts.httpRoute.enabled) (not (hasKey $secrets "receiptsSecret")) }}
{{- fail "receipts are let in, and would all be refused: set secrets.receiptsSecret or existingSecret.keys.receiptsSecret" }}
{{- end }}
{{- if and (or .Values.links.ingress.enabled .Values.links.httpRoute.enabled) (not (and (hasKey $secrets "linkSecret") .Values.links.externalUrl)) }}
{{- fail "people are let in by links, and none would be made: set links.externalUrl, and secrets.linkSecret or existingSecret.keys.linkSecret" }}
{{- end }}
{{- include "uvms-adapter.checkStore" . }}
{{- if and .Values.networkPolicy.enabled .Values.tracing.endpoint (not .Values.networkPolicy.collector) }}
{{- fail "the NetworkPolicy would cut off the collector of traces: say where it is in networkPolicy.collector" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor are both enabled, so everything would be counted twice: keep one of them" }}
{{- end }}
{{- if ne (hasKey $secrets "publicKey") (hasKey $secrets "privateKey") }}
{{- fail "of publicKey and privateKey only one is set: set both or neither" }}
{{- end }}
{{- if not (or .Values.simulate (hasKey $secrets "publicKey")) }}
{{- fail "no phone could ring: set secrets.publicKey and secrets.privateKey, or existingSecret.name, or simulate=true to try things out without an account" }}
{{- end }}
{{- if ne (hasKey $secrets "webhookPassword") (not (empty .Values.webhook.username)) }}
{{- fail "basic auth needs both webhook.username and a webhookPassword: set both or neither" }}
{{- end }}
{{- if not (or .Values.insecureNoAuth (hasKey $secrets "webhookToken") (hasKey $secrets "webhookPassword") (hasKey $secrets "webhookHmacSecret")) }}
{{- fail "nobody could post a webhook: set secrets.webhookToken (or a user and password, or an HMAC secret), or existingSecret.name, or insecureNoAuth=true to let anybody ring phones" }}
{{- end }}
{{- end }}

{{- define "uvms-adapter.checkStore" -}}
{{- if eq .Values.store.type "sqlite" }}
{{- if or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled }}
{{- fail "more than one replica needs store.type=postgresql: one SQLite file serves one process, a second one would not start, or on a volume of its own would ring every phone twice" }}
{{- end }}
{{- if or .Values.store.databaseUrl .Values.store.listenUrl .Values.store.existingSecret.name }}
{{- fail "a database is named, and would not be used: set store.type=postgresql" }}
{{- end }}
{{- if .Values.store.writers }}
{{- fail "store.writers is set, and would not be used: one SQLite file has one writer" }}
{{- end }}
{{- else }}
{{- if eq (empty .Values.store.databaseUrl) (empty .Values.store.existingSecret.name) }}
{{- fail "store.type=postgresql needs one of store.existingSecret.name and store.databaseUrl" }}
{{- end }}
{{- if and .Values.store.databaseUrl (not (regexMatch "^postgres(ql)?([+]psycopg)?://" .Values.store.databaseUrl)) }}
{{- fail "store.databaseUrl is no URL of PostgreSQL: write postgresql://user:password@host/database" }}
{{- end }}
{{- if and .Values.store.listenUrl (not .Values.store.databaseUrl) }}
{{- fail "store.listenUrl and store.existingSecret.name are both set: put the URL into that Secret, and name its key in store.existingSecret.listenUrlKey" }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}
{{- end }}
{{- if not (or .targetCPUUtilizationPercentage .metrics) }}
{{- fail "autoscaling has nothing to go by: set autoscaling.targetCPUUtilizationPercentage or autoscaling.metrics" }}
{{- end }}
{{- if and .targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" $.Values.resources)) }}
{{- fail "autoscaling.targetCPUUtilizationPercentage is a part of resources.requests.cpu, which is not set" }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.database) }}
{{- fail "the NetworkPolicy would cut off the database: say where it is in networkPolicy.database" }}
{{- end }}
{{- end }}
{{- end }}
