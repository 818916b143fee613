"""What of a worker's environment its runner gets: what Python, the compiler, Jittor and traces need, and no secret.

A runner reads no store and no database: its supervisor hands it files and takes files from it. So the addresses and the
keys of both stay out of what a crash, a compiler's log or a kernel's dump may show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NAMES = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "CONDA_PREFIX",
    }  # any program
    | {"CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX"}  # g++
    | {"JITTOR_HOME", "JTCUDA_VERSION", "JT_SYNC", "DISABLE_MULTIPROCESSING"}  # Jittor, beside names in lower case
    | {"HPOSVC_FAILPOINTS", "HPOSVC_FAILPOINTS_FIRED"}  # the tests
)
PREFIXES = ("LC_", "LD_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "CUDA_", "NVIDIA_", "CUDNN_")
# Jittor's options, those about compilers, libraries, devices and logs.
OF_JITTOR = frozenset(
    {"cc_path", "cc_type", "cc_flags", "kernel_flags", "enable_lto", "python_config_path", "cache_name", "disable_lock"}
    | {"nvcc_path", "nvcc_flags", "cuda_arch", "cuda_archs", "use_cuda", "use_cutt", "use_cutlass", "use_nccl"}
    | {"use_mkl", "mkl_include_path", "mkl_lib_path", "use_mpi", "use_tensorcore", "use_parallel_op_compiler"}
    | {"device_id", "cpu_mem_limit", "device_mem_limit", "gdb_path", "addr2line_path"}
    | {"log_v", "log_vprefix", "log_silent", "log_sync", "log_file", "trace_py_var"}
)
TRACING = re.compile(
    r"OTEL_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|\w+_proxy", re.IGNORECASE
)  # how to reach a collector


def of_runner(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of a worker's ``variables`` that its runner gets."""
    traced = any(name.startswith("OTEL_EXPORTER_") for name in variables)
    return {
        name: value for name, value in variables.items() if _is_needed(name) or (traced and TRACING.fullmatch(name))
    }


def _is_needed(name: str) -> bool:
    return name in NAMES or name in OF_JITTOR or name.startswith(PREFIXES)
