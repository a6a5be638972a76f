# The task vocabulary of people, hooks and CI. Everything is set up on first use; second runs reinstall nothing.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
INSTALLED := .venv/.installed
# The python3 of the PATH if it is new enough, else the newest that is.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
UV := eval "$$(tools/pip-settings-for-uv $(BIN)/pip)" && VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv

.PHONY: help demo test lint bench up down lock clean images image-platform image-serving image-sbom image-scan image-push compose-up compose-down \
	changed k8s-check k8s-rules k8s-secrets k8s-apply k8s-project k8s-ship release-notes test-k8s kind-up kind-down

help: ## this list
	@awk -F ': .*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## start the platform and watch real flights become a served model that repairs itself
	@$(BIN)/mlops demo

# Two processes, a file's tests in one of them: many wait for a service to start, or for a tick.
WORKERS ?= 2

test: $(INSTALLED) ## all tests, on real services (ARGS="-k name" for some)
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

lint: $(INSTALLED) ## style, types, import boundaries, Dockerfiles, workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint deploy/docker/*.Dockerfile
	@$(BIN)/actionlint

bench: $(INSTALLED) ## all benchmarks beside their peers (ONLY=name for one)
	@$(BIN)/python -m mlops_assets_tests.benchmarks $(ONLY)

up: $(INSTALLED) ## start the platform and show its addresses
	@$(BIN)/mlops up

down: $(INSTALLED) ## stop the platform; nothing is lost
	@$(BIN)/mlops down

# Containers. ENGINE=podman does as well; TORCH: cpu, or a CUDA build as uv names it (cu128); BASE: the base image,
# by digest where images are released. PIP_CONF: a pip.conf that names a mirror; no layer keeps it.
ENGINE ?= docker
VERSION ?= 0.1.0
TORCH ?= cpu
BASE ?= python:3.11-slim-bookworm
PIP_CONF ?= /dev/null
REVISION = $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
IMAGE ?= mlops-assets
IMAGES ?= platform serving
BUILD = $(ENGINE) build $(if $(filter podman buildah,$(notdir $(ENGINE))),--format docker) --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	--secret id=pip,src=$(PIP_CONF)

images: image-platform image-serving ## build both images

image-platform: ## build Dagster's and the steps' image (TORCH=cu128 for one with CUDA)
	@$(BUILD) --build-arg TORCH=$(TORCH) -f deploy/docker/platform.Dockerfile -t $(IMAGE)/platform:$(VERSION) .

image-serving: ## build the endpoints' image
	@$(BUILD) -f deploy/docker/serving.Dockerfile -t $(IMAGE)/serving:$(VERSION) .

image-sbom: ## a list of what is in the images, as SPDX, into build/ (needs syft)
	@mkdir -p build
	@for image in $(IMAGES); do \
		syft scan $(IMAGE)/$$image:$(VERSION) --output spdx-json=build/$$image.spdx.json || exit 1; done

image-scan: ## fail if an image has a grave known weakness that is mended elsewhere (needs trivy)
	@for image in $(IMAGES); do \
		trivy image --quiet --exit-code 1 --severity HIGH,CRITICAL --ignore-unfixed $(IMAGE)/$$image:$(VERSION) || exit 1; done

image-push: ## push both images (log in first)
	@for image in $(IMAGES); do $(ENGINE) push $(IMAGE)/$$image:$(VERSION) || exit 1; done

compose-up: ## start the platform in containers (secrets in .env)
	@test -f .env || { echo "There is no .env: cp .env.example .env, and fill in the four STACK_ secrets." >&2; exit 1; }
	@$(ENGINE) compose --env-file .env -f deploy/compose.yaml up --build --detach --wait

compose-down: ## stop those containers; their volumes stay
	@$(ENGINE) compose --env-file .env -f deploy/compose.yaml down

# Kubernetes. OVERLAY: local, or eks; the cluster is the one that KUBECONFIG names.
OVERLAY ?= local
BASELINE ?= origin/main
IN = kubectl --namespace mlops

changed: ## which projects differ from BASELINE, as JSON
	@tools/changed-projects $(BASELINE)

k8s-check: $(INSTALLED) ## render the overlays, and hold them to Kubernetes' schemas and our rules
	@$(BIN)/python -m pytest -q mlops_assets_tests/deploy $(ARGS)

k8s-rules: ## make the operator's PrometheusRule of deploy/prometheus/rules.yml
	@tools/prometheus-rule > deploy/k8s/components/monitoring/rules.yaml

k8s-secrets: ## make the overlay local's secrets in the cluster, once
	@kubectl apply -f deploy/k8s/base/namespace.yaml
	@$(IN) get secret mlops-stores >/dev/null 2>&1 || tools/k8s-secrets | kubectl apply -f -

k8s-apply: ## bring the cluster to OVERLAY, databases first
	@$(IN) delete job migrate --ignore-not-found
	@kubectl apply -k deploy/k8s/overlays/$(OVERLAY)
	@$(IN) wait --for=condition=complete --timeout=600s job/migrate
	@for part in mlflow code-location webserver daemon metrics reaper; do \
		$(IN) rollout status --timeout=600s deployment/$$part || exit 1; done

k8s-project: ## ship VERSION of PROJECT alone: what its code changed is trained anew, its endpoint rolls
	@test -n "$(PROJECT)" || { echo "Which? make k8s-project PROJECT=flight_delays" >&2; exit 1; }
	@$(IN) set image deployment/code-location main=$(IMAGE)/platform:$(VERSION)
	@$(IN) set env deployment/code-location DAGSTER_CURRENT_IMAGE=$(IMAGE)/platform:$(VERSION)
	@$(IN) set image deployment/endpoint-$(subst _,-,$(PROJECT)) main=$(IMAGE)/serving:$(VERSION)
	@$(IN) rollout status --timeout=600s deployment/code-location
	@$(IN) rollout status --timeout=600s deployment/endpoint-$(subst _,-,$(PROJECT))

k8s-ship: ## ship what has changed since BASELINE (the last release): some projects, or the platform
	@set -e; changed=$$(tools/changed-projects $(BASELINE)); echo "since $(BASELINE): $$changed"; \
	case $$changed in \
	*'"platform": true'*) $(MAKE) --no-print-directory k8s-apply OVERLAY=eks ;; \
	*) for project in $$(echo "$$changed" | sed 's/.*\[\(.*\)\].*/\1/; s/[",]/ /g'); do \
		$(MAKE) --no-print-directory k8s-project PROJECT=$$project; done ;; \
	esac

release-notes: ## publish VERSION on GitHub with the lists of what is in its images (needs gh)
	@gh release create v$(VERSION) --verify-tag --generate-notes build/*.spdx.json

kind-up: ## a cluster of kind with the images in it
	@kind get clusters | grep -qx mlops || kind create cluster --name mlops --wait 120s
	@kind load docker-image --name mlops $(IMAGE)/platform:$(VERSION) $(IMAGE)/serving:$(VERSION)

kind-down: ## remove that cluster
	@kind delete cluster --name mlops

test-k8s: $(INSTALLED) ## the loop on the cluster that KUBECONFIG names
	@$(BIN)/python -m pytest -ra mlops_assets_tests/cluster $(ARGS)

# torch pins its own CUDA packages exactly, so they are left to torch: a CPU build of it has none.
lock: $(BIN)/uv ## resolve requirements.lock anew from pyproject.toml
	@eval "$$(env -u PIP_FIND_LINKS tools/pip-settings-for-uv $(BIN)/pip)" && env -u UV_FIND_LINKS $(BIN)/uv pip compile \
		--quiet --universal --python-version 3.11 --group pyproject.toml:dev pyproject.toml \
		--no-annotate --no-header > requirements.lock.all
	@grep -vE '^(nvidia-|cuda-|triton)' requirements.lock.all > requirements.lock
	@rm requirements.lock.all

clean: ## stop the platform and remove .venv (its state stays; mlops reset removes that)
	@if [ -x $(BIN)/mlops ]; then $(BIN)/mlops down; fi
	@rm -rf .venv

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer is found on the PATH. Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { echo "That Python cannot make virtual environments (Debian, Ubuntu: install python3-venv)." >&2; rm -rf .venv; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/uv
	@$(UV) pip install --quiet -r requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
