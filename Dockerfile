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
# pip knows this variable from version 23.0 on, where the distribution forbids what follows without it.
ENV PIP_BREAK_SYSTEM_PACKAGES=1
COPY requirements/image-${TENSORFLOW}.txt /tmp/requirements.txt
RUN python3 -m pip install --quiet --require-hashes -r /tmp/requirements.txt && rm /tmp/requirements.txt

# Horovod's wheel and the launcher's. Compiler and build tools stay here.
FROM packages AS wheels
RUN apt-get update --quiet=2 \
    && apt-get install --quiet=2 --no-install-recommends --yes g++ make python3-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/horovod-build.txt /tmp/requirements.txt
RUN python3 -m pip install --quiet --require-hashes -r /tmp/requirements.txt
COPY tools/horovod_wheel.py /build/tools/
RUN mkdir /wheels && cp "$(XDG_CACHE_HOME=/build/cache python3 /build/tools/horovod_wheel.py)" /wheels/
COPY setup.py README.md LICENSE /build/
COPY launcher /build/launcher
RUN python3 -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels /build

# Without their requirements: Horovod's are in the lock file, and the training uses only the launcher's contract,
# which is standard library.
FROM packages AS installed
COPY --from=wheels /wheels /wheels
RUN python3 -m pip install --quiet --no-deps --no-index /wheels/*.whl

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
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
COPY --from=installed /usr/local /usr/local
COPY common /workspace/common
COPY models /workspace/models
COPY quickstart /workspace/quickstart
# Byte code now, because the root file system is read-only later; readable for any uid. Then what a start needs is
# proved to be there: a missing shared library must fail the build, not a job.
RUN python3 -m compileall -q /workspace \
    && chmod -R a+rX /workspace \
    && mkdir -p /home/mlops /outputs /datasets && chmod 1777 /home/mlops /outputs \
    && mpirun --version >/dev/null && command -v sshd ssh ssh-keygen >/dev/null \
    && TF_CPP_MIN_LOG_LEVEL=3 python3 -c 'import mpi4py; mpi4py.rc.initialize = False; \
        import mpi4py.MPI, horovod.tensorflow, safetensors, mlops_launch.contract'
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MODEL_DIR=/workspace MODEL_NAME=resnet50v1_5 HOME=/home/mlops
WORKDIR /workspace
USER 1000:1000
# The overlays give each container its command.
CMD ["python3", "models/resnet50v1_5/main.py", "--help"]
