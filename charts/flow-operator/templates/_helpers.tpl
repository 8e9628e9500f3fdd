{{/* Name of the chart, at most a label long. */}}
{{- define "flow-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Full name of the release's objects; a release that is called like the chart is not named twice. */}}
{{- define "flow-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of objects that the whole cluster shares: two releases may have one name. */}}
{{- define "flow-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "flow-operator.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels by which the Deployment finds its Pod. */}}
{{- define "flow-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flow-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "flow-operator.labels" -}}
{{ include "flow-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: flow-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the operator's ServiceAccount. */}}
{{- define "flow-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "flow-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The file of settings that the operator reads. */}}
{{- define "flow-operator.settings" -}}
fetcherImage: {{ printf "%s:%s" .Values.fetcher.image.repository (default .Chart.AppVersion .Values.fetcher.image.tag) | quote }}
fetcherFullImage: {{ printf "%s:%s" .Values.fetcher.fullImage.repository (default .Chart.AppVersion .Values.fetcher.fullImage.tag) | quote }}
{{- with .Values.fetcher.image.pullPolicy }}
fetcherImagePullPolicy: {{ . }}
{{- end }}
fetchResources:
  {{- toYaml .Values.fetcher.resources | nindent 2 }}
defaultImage: {{ .Values.runs.defaultImage | quote }}
{{- with .Values.runs.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.runs.maxActive }}
maxActiveRuns: {{ . }}
{{- end }}
{{- with .Values.runs.maxActivePerNamespace }}
maxActiveRunsPerNamespace: {{ . }}
{{- end }}
setIDs: {{ .Values.runs.podSecurity.setIDs }}
readOnlyRootFilesystem: {{ .Values.runs.podSecurity.readOnlyRootFilesystem }}
{{- end }}

{{/* What the operator does, in the namespaces that it works in. Nothing here reads a Secret. */}}
{{- define "flow-operator.rules" -}}
- apiGroups: [flow-operator.io]
  resources: [flowdeployments]
  verbs: [get, list, watch]
- apiGroups: [flow-operator.io]
  resources: [flowruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [flow-operator.io]
  resources: [flowdeployments/status, flowruns/status]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}
