{{- define "novapulse.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "novapulse.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "novapulse.labels" -}}
{{ include "novapulse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "novapulse.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "novapulse.secret" -}}
{{- required "secret.name is not set: the Secret that holds NOVAPULSE_DATABASE_URL, NOVAPULSE_REDIS_URL and NOVAPULSE_SECRET_KEY" .Values.secret.name }}
{{- end }}

{{- define "novapulse.host" -}}
{{- get (urlParse .Values.publicUrl) "hostname" }}
{{- end }}

{{- define "novapulse.reportsClaim" -}}
{{- if .Values.reports.claim }}{{ .Values.reports.claim }}{{ else if .Values.reports.create }}{{ include "novapulse.name" . }}-reports{{ end }}
{{- end }}

{{- define "novapulse.config" -}}
{{- $set := dict
    "NOVAPULSE_PUBLIC_URL" (required "publicUrl is not set: how browsers reach NovaPulse, e.g. https://hooks.example.com" .Values.publicUrl)
    "NOVAPULSE_TRUSTED_PROXY_HOPS" (toString .Values.trustedProxyHops)
    "NOVAPULSE_HOST" .Values.listenAddress
    "NOVAPULSE_PORT" "8000"
    "NOVAPULSE_PROBE_HOST" .Values.listenAddress
    "NOVAPULSE_PROBE_PORT" (toString .Values.probePort)
    "NOVAPULSE_SHUTDOWN_TIMEOUT_S" (toString .Values.shutdownSeconds)
    "NOVAPULSE_DRAIN_S" (toString .Values.web.drainSeconds)
    "NOVAPULSE_LOG_FORMAT" "json"
    "NOVAPULSE_DATA_DIR" "/data"
    "NOVAPULSE_SECRETS_DIR" "/run/secrets/novapulse" }}
{{- if include "novapulse.reportsClaim" . }}{{ $_ := set $set "NOVAPULSE_REPORTS_DIR" "/reports" }}{{ end }}
{{- toYaml (merge (dict) .Values.settings $set) }}
{{- end }}

{{/* What all pods have. Called with (dict "root" $ "component" "web" "part" .Values.web "grace" seconds). */}}
{{- define "novapulse.podMeta" -}}
labels:
  {{- include "novapulse.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  # A changed setting makes new pods.
  checksum/config: {{ include "novapulse.config" .root | sha256sum }}
  {{- with .part.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "novapulse.podSpec" -}}
{{- $root := .root -}}
serviceAccountName: {{ if $root.Values.serviceAccount.create }}{{ $root.Values.serviceAccount.name | default (include "novapulse.name" $root) }}{{ else }}{{ $root.Values.serviceAccount.name | default "default" }}{{ end }}
{{- include "novapulse.podBasics" $root }}
terminationGracePeriodSeconds: {{ .grace }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "novapulse.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{- define "novapulse.podBasics" }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
volumes:
  # Nothing lasting is written here: what lasts is in Postgres, in Valkey and in the reports' volume.
  - name: data
    emptyDir: {sizeLimit: 1Gi}
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  - name: secrets
    secret:
      secretName: {{ include "novapulse.secret" . }}
      defaultMode: 0440
  {{- with include "novapulse.reportsClaim" . }}
  - name: reports
    persistentVolumeClaim: {claimName: {{ . }}}
  {{- end }}
{{- end }}

{{- define "novapulse.container" -}}
image: {{ include "novapulse.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  - {name: secrets, mountPath: /run/secrets/novapulse, readOnly: true}
  {{- if include "novapulse.reportsClaim" . }}
  - {name: reports, mountPath: /reports}
  {{- end }}
{{- end }}

{{/* Workers and schedulers answer probes on a port of their own. */}}
{{- define "novapulse.probes" -}}
ports:
  - {name: probe, containerPort: {{ .Values.probePort }}, protocol: TCP}
startupProbe:
  httpGet: {path: /health/live, port: probe}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/live, port: probe}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /health/ready, port: probe}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
