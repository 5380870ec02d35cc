{{/* The Pod of the service, whichever kind makes it. */}}
{{- define "uvms-adapter.pod" -}}
{{- $secretKeys := include "uvms-adapter.secretKeys" . | fromYaml }}
{{- $postgresql := eq .Values.store.type "postgresql" }}
metadata:
  labels:
    {{- include "uvms-adapter.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # No checksums of configuration or secrets: the service follows their files by itself. Only where
  # its database is, it asks once.
  {{- $once := and (eq .Values.store.type "postgresql") (not .Values.store.existingSecret.name) }}
  {{- if or $once .Values.podAnnotations }}
  annotations:
    {{- if $once }}
    checksum/store: {{ printf "%s %s" .Values.store.databaseUrl .Values.store.listenUrl | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  serviceAccountName: {{ include "uvms-adapter.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # Requests under way get five seconds, calls stopWithinSeconds; five more to write and exit.
  terminationGracePeriodSeconds: {{ add .Values.stopWithinSeconds 10 ($postgresql | ternary .Values.drainSeconds 0) }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if $postgresql }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "uvms-adapter.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: uvms-adapter
      image: {{ include "uvms-adapter.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        - --config=/etc/uvms-adapter/routes.yaml
        - --listen={{ contains ":" .Values.listenAddress | ternary (printf "[%s]" .Values.listenAddress) .Values.listenAddress }}:8080
        - --stop-within={{ .Values.stopWithinSeconds }}s
        {{- if .Values.simulate }}
        - --simulate
        {{- end }}
        {{- if .Values.insecureNoAuth }}
        - --insecure-no-auth
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        {{- if $postgresql }}
        # The image's own, of SQLite, is taken away.
        - name: UVMS_DATABASE_URL
          value: ""
        {{- range $variable, $key := include "uvms-adapter.storeKeys" . | fromYaml }}
        - name: {{ $variable }}_FILE
          value: /run/secrets/uvms-adapter-store/{{ $key }}
        {{- end }}
        {{- with .Values.store.writers }}
        - name: UVMS_DATABASE_WRITERS
          value: {{ . | quote }}
        {{- end }}
        {{- else }}
        - name: UVMS_DATABASE_URL
          value: sqlite:////data/uvms-adapter.db
        {{- end }}
        - name: UVMS_LOG_FORMAT
          value: {{ .Values.log.format }}
        - name: UVMS_LOG_LEVEL
          value: {{ .Values.log.level }}
        - name: UVMS_MAX_BODY_BYTES
          value: {{ .Values.webhook.maxBodyBytes | int64 | quote }}
        {{- with include "uvms-adapter.webhookEnv" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .Values.links.externalUrl }}
        - name: UVMS_EXTERNAL_URL
          value: {{ . | quote }}
        {{- end }}
        {{- range $name, $path := include "uvms-adapter.secretPaths" . | fromYaml }}
        - name: UVMS_{{ snakecase $name | upper }}_FILE
          value: {{ $path | quote }}
        {{- end }}
        {{- with include "uvms-adapter.tracingEnv" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8080
          protocol: TCP
      {{- if and $postgresql .Values.drainSeconds }}
      # What is sent here until every proxy knows that this Pod goes is still taken.
      lifecycle:
        preStop:
          exec:
            command: [python, -c, "import time; time.sleep({{ .Values.drainSeconds }})"]
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.startupProbe }}
      startupProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.livenessProbe }}
      livenessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.readinessProbe }}
      readinessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- if $postgresql }}
        - name: store
          mountPath: /run/secrets/uvms-adapter-store
          readOnly: true
        {{- else }}
        - name: data
          mountPath: /data
        {{- end }}
        # Whole directories: single files (subPath) would never change in a running Pod.
        - name: config
          mountPath: /etc/uvms-adapter
          readOnly: true
        {{- if $secretKeys }}
        - name: secrets
          mountPath: /run/secrets/uvms-adapter
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    - name: config
      {{- if or .Values.configFrom.existingConfigMap (and .Values.config (eq .Values.configKind "ConfigMap")) }}
      configMap:
        name: {{ include "uvms-adapter.configName" . }}
      {{- else }}
      secret:
        secretName: {{ include "uvms-adapter.configName" . }}
      {{- end }}
        defaultMode: 0440
        items:
          - key: {{ .Values.configFrom.key | quote }}
            path: routes.yaml
    {{- if $secretKeys }}
    - name: secrets
      secret:
        secretName: {{ include "uvms-adapter.secretName" . }}
        defaultMode: 0440
    {{- end }}
    {{- if $postgresql }}
    - name: store
      secret:
        secretName: {{ include "uvms-adapter.storeSecretName" . }}
        defaultMode: 0440
        items:
          {{- range include "uvms-adapter.storeKeys" . | fromYaml }}
          - key: {{ . | quote }}
            path: {{ . | quote }}
          {{- end }}
    {{- else if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- else if .Values.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
