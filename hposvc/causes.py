"""The faults that ``hposvc doctor`` can find, by names that stay: scripts read them, and each is produced in a test."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """What is wrong with a machine, or with what it is told to use."""

    PYTHON_UNSUPPORTED = "python_unsupported"
    COMPILER_MISSING = "compiler_missing"
    COMPILER_BROKEN = "compiler_broken"
    HEADERS_MISSING = "headers_missing"
    PYTHON_CONFIG_MISSING = "python_config_missing"
    ONEDNN_MISSING = "onednn_missing"
    NVCC_MISSING = "nvcc_missing"
    NVCC_BROKEN = "nvcc_broken"
    CUDA_TOO_NEW = "cuda_too_new"
    CUDA_RUNTIME_MISSING = "cuda_runtime_missing"
    CUDNN_TOO_NEW = "cudnn_too_new"
    GPU_DRIVER_MISSING = "gpu_driver_missing"
    GPU_DRIVER_TOO_OLD = "gpu_driver_too_old"
    GPU_MISSING = "gpu_missing"
    CACHE_UNWRITABLE = "cache_unwritable"
    JITTOR_NOT_COMPILED = "jittor_not_compiled"
    DATA_DIRECTORY_UNWRITABLE = "data_directory_unwritable"
    DATABASE_URL_INVALID = "database_url_invalid"
    DATABASE_ON_NETWORK_FILE_SYSTEM = "database_on_network_file_system"
    DATABASE_ABSENT = "database_absent"
    DATABASE_BEHIND = "database_behind"
    DATABASE_NEWER = "database_newer"
    DATABASE_CHANGED = "database_changed"
    DATABASE_UNREACHABLE = "database_unreachable"
    CLOCK_UNKNOWN = "clock_unknown"
    CLOCKS_APART = "clocks_apart"
    STORE_PACKAGE_MISSING = "store_package_missing"
    STORE_CREDENTIALS_INVALID = "store_credentials_invalid"
    STORE_UNREACHABLE = "store_unreachable"
    STORE_UNWRITABLE = "store_unwritable"
    BUCKET_MISSING = "bucket_missing"
    PORT_TAKEN = "port_taken"
    PORT_REFUSED = "port_refused"
    EXAMINATION_FAILED = "examination_failed"
