# Every image Cloister runs: docker build --target operator|audit|app|postgres|pdfa-judge .
# The base is an argument: python:3.11-slim-bookworm where a registry is at hand, a debootstrap tree on the local cluster.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- what all images share -------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS base
ENV DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates openssl \
 && (command -v python3 >/dev/null || apt-get install -y --no-install-recommends python3) \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 65532 cloister \
 && useradd --uid 65532 --gid 65532 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin cloister

# ---- virtual environments, one a program, from the one lock ----------------------------------------------------------
FROM base AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential libldap2-dev libsasl2-dev \
 && (python3 -c 'import ensurepip, sysconfig, os; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null \
     || apt-get install -y --no-install-recommends python3-venv python3-dev) \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY pyproject.toml requirements.lock images/python-env.sh ./
RUN grep -A 99 '^uv==' requirements.lock | sed '/^ *#/,$d' > uv.lock.txt \
 && python3 -m venv /build/uv \
 && /build/uv/bin/pip install --quiet --require-hashes -r uv.lock.txt

FROM build AS operator-env
RUN sh python-env.sh operator

FROM build AS audit-env
RUN sh python-env.sh audit

FROM build AS app-env
RUN sh python-env.sh app

# ---- the operator; the same image runs its jobs in the tenants' namespaces (backup, export, isolation probe) ---------
FROM base AS operator
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-15 age \
 && rm -rf /var/lib/apt/lists/*
COPY --from=operator-env /opt/cloister /opt/cloister
COPY operator/tenant_operator /opt/cloister/src/tenant_operator
COPY audit-service/audit_contract /opt/cloister/src/audit_contract
ENV PATH=/opt/cloister/bin:/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/cloister/src
RUN python -m compileall -q /opt/cloister/src
USER 65532:65532
ENTRYPOINT ["python", "-m", "tenant_operator"]

# ---- the audit service -----------------------------------------------------------------------------------------------
FROM base AS audit
COPY --from=audit-env /opt/cloister /opt/cloister
COPY audit-service/audit_contract /opt/cloister/src/audit_contract
COPY audit-service/audit_service /opt/cloister/src/audit_service
ENV PATH=/opt/cloister/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/cloister/src
RUN python -m compileall -q /opt/cloister/src
USER 65532:65532
ENTRYPOINT ["python", "-m", "audit_service"]

# ---- the tenant's app ------------------------------------------------------------------------------------------------
FROM base AS app
RUN apt-get update \
 && apt-get install -y --no-install-recommends libldap-2.5-0 libsasl2-2 poppler-utils fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/*
COPY --from=app-env /opt/cloister /opt/cloister
COPY audit-service/audit_contract /opt/cloister/src/audit_contract
COPY tenant-app/tenant_app /opt/cloister/src/tenant_app
ENV PATH=/opt/cloister/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/cloister/src
RUN python -m compileall -q /opt/cloister/src
USER 65532:65532
ENTRYPOINT ["python", "-m", "tenant_app"]

# ---- veraPDF as a service, where an installation wants PDF/A decided by a validator (images.pdfaJudge) -----------------
FROM base AS verapdf
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && apt-get install -y --no-install-recommends maven \
 && rm -rf /var/lib/apt/lists/*
COPY images/verapdf /build/verapdf
RUN sh /build/verapdf/fetch.sh /opt/verapdf

FROM base AS pdfa-judge
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*
COPY --from=verapdf /opt/verapdf /opt/verapdf
COPY images/verapdf/verapdf.sh /opt/verapdf/verapdf
COPY --from=app-env /opt/cloister /opt/cloister
COPY tenant-app/tenant_app /opt/cloister/src/tenant_app
ENV PATH=/opt/cloister/bin:/opt/verapdf:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/cloister/src
RUN python -m compileall -q /opt/cloister/src
USER 65532:65532
ENTRYPOINT ["python", "-m", "tenant_app.judge"]

# ---- PostgreSQL: the tenants' and the audit service's ----------------------------------------------------------------
FROM base AS postgres
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-common \
 && sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
 && apt-get install -y --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/*
COPY images/postgres /opt/cloister/postgres
RUN sh /opt/cloister/postgres/build.sh
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/cloister-postgres"]
