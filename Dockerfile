# The image of a cluster's head and workers, and of anyone who has Docker and no Python. Build: docker build -t vaeorch .
# CUDA comes with torch's wheels: a node needs NVIDIA's driver and its container toolkit, and no other base image.
# BASE can be any image with this Python and apt, for example a mirror's.
ARG BASE=python:3.11-slim
FROM ${BASE}

# Ray's cluster launcher reaches its nodes with ssh and rsync. KubeRay asks with wget whether a pod is well.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/vaeorch
RUN pip install --no-cache-dir uv
COPY requirements.lock ./
RUN uv pip install --system --no-cache --compile-bytecode --requirement requirements.lock
COPY pyproject.toml README.md ./
COPY orchestrator orchestrator
COPY trainables trainables
COPY vaeorch.py ./
COPY search_spaces search_spaces
COPY clusters clusters
RUN uv pip install --system --no-cache --compile-bytecode --no-deps .

RUN useradd --create-home vaeorch
USER vaeorch
WORKDIR /home/vaeorch
ENTRYPOINT ["vaeorch"]
