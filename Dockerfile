# The training image: Python, TensorFlow, Open MPI, Horovod, sshd, and the model package in /workspace.
#   docker build -t REGISTRY/mlops-launch:IMAGE_TAG .          or: make image
# Runs as any uid with a read-only root file system; the overlays bring the passwd entry and the writable folders.

# Debian 12 or newer, Ubuntu 22.04 or newer, or an image made from one, such as a CUDA base.
ARG BASE_IMAGE=debian:bookworm-slim
# tensorflow-cpu, or tensorflow for GPUs: chooses requirements/image-<this>.txt.
ARG TENSORFLOW=tensorflow-cpu

# Python and all packages, in /usr/local: on the PATH that ssh gives the ranks, without a virtual environment.
FROM ${BASE_IMAGE} AS packages
ARG TENSORFLOW
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update --quiet=2 \
    && apt-get install --quiet=2 --no-install-recommends --yes ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
# A package index or certificates of one's own, for the build only: docker build --secret id=pip.conf,src=… --secret id=ca.crt,src=…
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf
# pip knows this variable from version 23.0 on, where the distribution forbids what follows without it.
ENV PIP_BREAK_SYSTEM_PACKAGES=1
COPY requirements/image-${TENSORFLOW}.txt /tmp/requirements.txt
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    python3 -m pip install --quiet --require-hashes -r /tmp/requirements.txt && rm /tmp/requirements.txt

# Horovod, which is published as source only. Compiler and build tools stay here.
FROM packages AS horovod
RUN apt-get update --quiet=2 \
    && apt-get install --quiet=2 --no-install-recommends --yes g++ make python3-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/horovod-build.txt /tmp/requirements.txt
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    python3 -m pip install --quiet --require-hashes -r /tmp/requirements.txt
COPY tools/horovod_wheel.py /build/tools/
# Into a folder of its own, as it will lie in the image: copying it needs no pip. Its requirements are in the lock file.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    wheel=$(XDG_CACHE_HOME=/build/cache python3 /build/tools/horovod_wheel.py) \
    && python3 -m pip install --quiet --no-deps --no-index --root /installed "$wheel"

# The launcher: the training uses its contract, and k8s/gc runs it. Its requirements are in the lock file.
FROM horovod AS launcher
RUN rm -rf /installed
COPY setup.py README.md LICENSE /build/
COPY launcher /build/launcher
RUN python3 -m pip install --quiet --no-deps --no-build-isolation --root /installed /build

FROM ${BASE_IMAGE} AS runtime
ARG BASE_IMAGE
ARG TENSORFLOW
LABEL org.opencontainers.image.title="mlops-launch" \
      org.opencontainers.image.description="ResNet-50 v1.5 training with TensorFlow and Horovod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      mlops-launch.tensorflow="${TENSORFLOW}"
# The host keys that the package makes would be the same in every pod: the entry point makes one at each start.
RUN apt-get update --quiet=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends --yes \
        ca-certificates openssh-client openssh-server python3 \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
COPY --from=packages /usr/local /usr/local
COPY --from=horovod /installed /
# `ldconfig` lets mpi4py find Open MPI in /usr/local/lib. What a start needs is proved to be there, mpi4py before Horovod,
# which would bring libmpi for it: a missing shared library must fail the build, not a job.
# `mlops-launch gc` needs the client of the API server.
RUN ldconfig && mkdir -p /home/mlops /outputs /datasets && chmod 1777 /home/mlops /outputs \
    && mpirun --version >/dev/null && command -v sshd ssh ssh-keygen >/dev/null \
    && TF_CPP_MIN_LOG_LEVEL=3 python3 -c 'import mpi4py.MPI, horovod.tensorflow, safetensors' \
    && python3 -c 'import kubernetes.client, kubernetes.config, ruamel.yaml'
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MODEL_DIR=/workspace MODEL_NAME=resnet50v1_5 HOME=/home/mlops
WORKDIR /workspace
CMD ["python3", "common/entrypoint/launcher.py", "bash", "quickstart/fp32_training_demo.sh"]

# From here on our own code: a few small layers, so that a change is built, pushed and pulled in seconds.
COPY --from=launcher /installed /
COPY common common
COPY models models
COPY quickstart quickstart
# Byte code now, because the root file system is read-only later; readable for any uid.
RUN python3 -m compileall -q . && chmod -R a+rX . && python3 -c 'import mlops_launch.contract' \
    && mlops-launch --version >/dev/null
USER 1000:1000
