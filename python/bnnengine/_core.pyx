# cython: language_level=3
"""The door to the C core: buffers in, one call without the GIL, status codes to exceptions. No logic of its own."""

import os

import numpy as np

from bnnengine.errors import BnnError, FormatError, InputError, IsaError, LimitError, ModelError, VersionError

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, UINT32_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef extern from "bnncore.h" nogil:
    ctypedef enum bnn_status:
        BNN_OK, BNN_E_ARGUMENT, BNN_E_MEMORY, BNN_E_FORMAT, BNN_E_VERSION, BNN_E_MODEL, BNN_E_LIMIT, BNN_E_ISA
    ctypedef struct bnn_error:
        bnn_status status
        char message[384]
    ctypedef enum bnn_dtype:
        BNN_BITS, BNN_UINT8, BNN_INT32, BNN_INT64, BNN_FLOAT32, BNN_INT8
    ctypedef struct bnn_spec:
        const char *name
        bnn_dtype dtype
        uint32_t rank
        uint32_t dims[6]
    ctypedef struct bnn_model:
        pass
    ctypedef struct bnn_plan:
        pass
    ctypedef struct bnn_session:
        pass
    ctypedef struct bnn_limits:
        uint64_t max_bytes
        uint64_t max_macs
    ctypedef struct bnn_choices:
        uint32_t vector_rows, narrow_rows, narrow_outputs, vector_words, matmul_rows, byte_depth, winograd_width, winograd_depth, winograd_kib, thin_channels
    ctypedef struct bnn_plan_options:
        const char *isa
        uint32_t threads
        uint64_t share_from
        int fast_math
        const bnn_choices *choices
        bnn_limits limits
    ctypedef struct bnn_plan_info:
        const char *isa
        uint32_t threads, steps, chunk
        uint64_t arena_bytes, arena_bound, scratch_bytes, weight_bytes
    ctypedef struct bnn_step_info:
        const char *name
        const char *op
        const char *family
        const char *isa
        const char *family_few
        uint32_t few_samples
        uint64_t macs, binary_macs, weight_bytes
        uint32_t in_pass "pass"
    ctypedef struct bnn_node_info:
        const char *name
        const char *op
        uint32_t inputs[8]
        uint32_t outputs[4]
        uint32_t attributes[16]
        bnn_spec tensors[8]
        const void *tensor_data[8]
        size_t tensor_bytes[8]

    bnn_status bnn_model_load(const void *, size_t, bnn_model **, bnn_error *)
    void bnn_model_free(bnn_model *)
    const void *bnn_model_bytes(const bnn_model *, size_t *)
    uint32_t bnn_model_input_count(const bnn_model *)
    uint32_t bnn_model_output_count(const bnn_model *)
    uint32_t bnn_model_value_count(const bnn_model *)
    uint32_t bnn_model_node_count(const bnn_model *)
    uint32_t bnn_model_metadata_count(const bnn_model *)
    uint32_t bnn_model_output(const bnn_model *, uint32_t)
    const bnn_spec *bnn_model_value(const bnn_model *, uint32_t)
    void bnn_model_metadata(const bnn_model *, uint32_t, const char **, size_t *, const char **, size_t *)
    bnn_status bnn_model_node(const bnn_model *, uint32_t, bnn_node_info *)
    bnn_status bnn_plan_build(const bnn_model *, const bnn_plan_options *, bnn_plan **, bnn_error *)
    void bnn_plan_free(bnn_plan *)
    void bnn_plan_get_info(const bnn_plan *, bnn_plan_info *)
    bnn_status bnn_plan_step(const bnn_plan *, uint32_t, bnn_step_info *)
    bnn_status bnn_session_new(const bnn_plan *, bnn_session **, bnn_error *)
    void bnn_session_free(bnn_session *)
    void bnn_session_run(bnn_session *, size_t, const void **, void **, uint64_t *)
    uint32_t bnn_crc32c(const void *, size_t)

cdef extern from "kernels.h" nogil:
    ctypedef enum bnn_isa:
        BNN_ISA_COUNT
    int bnn_isa_supported(bnn_isa)
    bnn_isa bnn_isa_best()
    const char *bnn_isa_name(bnn_isa)
    int bnn_isa_from_name(const char *)
    int bnn_kernel_listed(uint32_t, const char **, bnn_isa *)

cdef extern from "choices.h" nogil:
    const bnn_choices *bnn_choices_of(bnn_isa)

cdef extern from "selftest.h" nogil:
    ctypedef struct bnn_selftest_report:
        uint32_t cases, mismatches
        char first[160]
    size_t bnn_selftest_bytes()
    int bnn_selftest_run(const char *, bnn_isa, uint32_t, uint64_t, void *, bnn_selftest_report *)

cdef extern from "memory.h" nogil:
    void *bnn_memory_new(uint64_t)
    void bnn_memory_free(void *)


cdef dict _DTYPES = {BNN_BITS: "bits", BNN_UINT8: "uint8", BNN_INT32: "int32", BNN_INT64: "int64", BNN_FLOAT32: "float32"}


cdef object _exception(const bnn_error *error):
    cdef str message = error.message.decode("utf-8", "replace")
    if error.status == BNN_E_MEMORY:
        return MemoryError(message)
    kinds = {BNN_E_FORMAT: FormatError, BNN_E_VERSION: VersionError, BNN_E_MODEL: ModelError, BNN_E_LIMIT: LimitError,
             BNN_E_ISA: IsaError, BNN_E_ARGUMENT: ValueError}
    return kinds.get(error.status, BnnError)(message)


cdef bint _overlaps(const Py_buffer *buffers, int last):
    """Whether a buffer has memory of one before it."""
    cdef const char *begin = <const char *>buffers[last].buf
    cdef const char *other
    for i in range(last):
        other = <const char *>buffers[i].buf
        if begin < other + buffers[i].len and other < begin + buffers[last].len:
            return True
    return False


cdef tuple _shape(const bnn_spec *spec):
    return tuple([spec.dims[i] for i in range(spec.rank)])


cdef tuple _value(const bnn_model *model, uint32_t i):
    cdef const bnn_spec *spec = bnn_model_value(model, i)
    return spec.name.decode("utf-8"), _DTYPES[spec.dtype], _shape(spec)


cdef list _outputs(const bnn_model *model):
    return [bnn_model_output(model, i) for i in range(bnn_model_output_count(model))]


cdef dict _metadata(const bnn_model *model):
    cdef const char *key
    cdef const char *value
    cdef size_t key_bytes, value_bytes
    cdef dict found = {}
    for i in range(bnn_model_metadata_count(model)):
        bnn_model_metadata(model, i, &key, &key_bytes, &value, &value_bytes)
        found[key[:key_bytes].decode("utf-8")] = value[:value_bytes].decode("utf-8")
    return found


cdef object _tensor(const bnn_node_info *info, int slot):
    cdef const bnn_spec *spec = &info.tensors[slot]
    cdef bytes data = (<const char *>info.tensor_data[slot])[:info.tensor_bytes[slot]]
    shape = _shape(spec)
    if spec.dtype == BNN_BITS:
        return np.frombuffer(data, "<u8").reshape(shape[:-1] + ((shape[-1] + 63) // 64,)), shape
    return np.frombuffer(data, {BNN_INT32: "<i4", BNN_INT8: "i1"}.get(spec.dtype, "<f4")).reshape(shape)


cdef dict _node(const bnn_model *model, uint32_t i):
    cdef bnn_node_info info
    bnn_model_node(model, i, &info)
    return {
        "name": info.name.decode("utf-8"),
        "op": info.op.decode("ascii"),
        "inputs": [info.inputs[k] for k in range(8) if info.inputs[k] != UINT32_MAX],
        "outputs": [info.outputs[k] for k in range(4) if info.outputs[k] != UINT32_MAX],
        "tensors": {k: _tensor(&info, k) for k in range(8) if info.tensor_data[k] != NULL},
        "attributes": [info.attributes[k] for k in range(16)],
    }


cdef bnn_model *_load(object data) except NULL:
    cdef Py_buffer buffer
    cdef bnn_model *model = NULL
    cdef bnn_error error
    cdef bnn_status status
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        with nogil:
            status = bnn_model_load(buffer.buf, <size_t>buffer.len, &model, &error)
    finally:
        PyBuffer_Release(&buffer)
    if status != BNN_OK:
        raise _exception(&error)
    return model


def crc32c(data):
    """CRC32C (Castagnoli) of a buffer, as the file's checksums."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        return bnn_crc32c(buffer.buf, <size_t>buffer.len)
    finally:
        PyBuffer_Release(&buffer)


def read_model(data):
    """Everything in the bytes of a .bnn file, as plain Python objects; see _core.pyi."""
    cdef bnn_model *model = _load(data)
    try:
        return {
            "values": [_value(model, i) for i in range(bnn_model_value_count(model))],
            "inputs": list(range(bnn_model_input_count(model))),
            "outputs": _outputs(model),
            "nodes": [_node(model, i) for i in range(bnn_model_node_count(model))],
            "metadata": _metadata(model),
        }
    finally:
        bnn_model_free(model)


def isas():
    """Names of the instruction sets that this build and this CPU can run, weakest first."""
    return [bnn_isa_name(<bnn_isa>i).decode() for i in range(BNN_ISA_COUNT) if bnn_isa_supported(<bnn_isa>i)]


def kernels():
    """(family, instruction set) of every kernel variant that this CPU can run, as kernels.def lists them."""
    cdef const char *family
    cdef bnn_isa isa
    cdef uint32_t i = 0
    found = []
    while bnn_kernel_listed(i, &family, &isa):
        if bnn_isa_supported(isa):
            found.append((family.decode(), bnn_isa_name(isa).decode()))
        i += 1
    return found


cdef bnn_isa _isa(str name) except *:
    cdef int number = bnn_isa_from_name(name.encode())
    if number < 0 or not bnn_isa_supported(<bnn_isa>number):
        raise IsaError(f"isa: {name!r} cannot run here; {', '.join(isas())} can")
    return <bnn_isa>number


def choices(str isa):
    """Which road plans for an instruction set take from which size on, as choices.def has it; see bnncore.h."""
    return bnn_choices_of(_isa(isa))[0]


def selftest(str family, str isa, unsigned int rounds, unsigned long long seed):
    """Compares a kernel family on an instruction set with portable C: (cases, mismatches, the first mismatch)."""
    cdef bnn_selftest_report report
    cdef bytes family_name = family.encode()
    cdef const char *family_chars = family_name
    cdef bnn_isa number = _isa(isa)
    cdef int status
    cdef void *memory = bnn_memory_new(bnn_selftest_bytes())
    if memory == NULL:
        raise MemoryError("no memory for the self-test")
    with nogil:
        status = bnn_selftest_run(family_chars, number, rounds, seed, memory, &report)
    bnn_memory_free(memory)
    if status != 0:
        raise ValueError(f"family: {family!r} is none of the kernel families")
    return report.cases, report.mismatches, report.first.decode()


cdef enum:
    MOST_VALUES = 16


@cython.no_gc  # its lists hold no objects that could lead back; the collector would empty them before __dealloc__
cdef class Plan:
    """A loaded network with a plan for this CPU, and the sessions that its callers run in."""

    cdef bnn_model *model
    cdef bnn_plan *plan
    cdef list free_sessions  # their addresses; the GIL guards the list
    cdef int process
    cdef uint32_t steps
    cdef readonly list inputs, outputs
    cdef readonly dict metadata
    cdef readonly str isa
    cdef readonly int num_threads

    def __cinit__(self, data, isa, unsigned int num_threads, unsigned long long max_bytes, unsigned long long max_macs,
                  unsigned long long share_from=0, bint fast_math=False, choices=None):
        cdef bnn_error error
        cdef bnn_plan_options options
        cdef bnn_plan_info info
        cdef bnn_status status
        cdef bnn_choices chosen
        cdef bytes isa_name = b"" if isa is None else isa.encode()
        self.free_sessions = []
        self.process = os.getpid()
        self.model = _load(data)
        options.isa = NULL if isa is None else <const char *>isa_name
        options.threads = num_threads
        options.share_from = share_from
        options.fast_math = fast_math
        options.choices = NULL
        if choices is not None:
            chosen = choices
            options.choices = &chosen
        options.limits.max_bytes = max_bytes
        options.limits.max_macs = max_macs
        with nogil:
            status = bnn_plan_build(self.model, &options, &self.plan, &error)
        if status != BNN_OK:
            raise _exception(&error)
        bnn_plan_get_info(self.plan, &info)
        self.steps = info.steps
        self.isa = info.isa.decode()
        self.num_threads = info.threads
        self.inputs = [_value(self.model, i) for i in range(bnn_model_input_count(self.model))]
        self.outputs = [_value(self.model, i) for i in _outputs(self.model)]
        self.metadata = _metadata(self.model)
        if len(self.inputs) > MOST_VALUES or len(self.outputs) > MOST_VALUES:
            raise LimitError(f"the network has {len(self.inputs)} inputs and {len(self.outputs)} outputs, at most {MOST_VALUES}")

    def __dealloc__(self):
        if self.free_sessions is not None and self.process == os.getpid():
            for address in self.free_sessions:
                bnn_session_free(<bnn_session *><size_t>address)
        bnn_plan_free(self.plan)
        bnn_model_free(self.model)

    def data(self):
        """The bytes of the .bnn file."""
        cdef size_t size
        cdef const char *bytes_ = <const char *>bnn_model_bytes(self.model, &size)
        return bytes_[:size]

    def info(self):
        """Sizes of the plan in bytes, and its chunk in samples."""
        cdef bnn_plan_info i
        bnn_plan_get_info(self.plan, &i)
        return {"chunk": i.chunk, "arena_bytes": i.arena_bytes, "arena_bound": i.arena_bound,
                "scratch_bytes": i.scratch_bytes, "weight_bytes": i.weight_bytes}

    def step_infos(self, unsigned int batch=UINT32_MAX):
        """One dict a step, as _core.pyi has it: kernel is the one for batches of this size."""
        cdef bnn_step_info s
        found = []
        for i in range(self.steps):
            bnn_plan_step(self.plan, i, &s)
            family = s.family_few if batch <= s.few_samples else s.family
            found.append({
                "name": s.name.decode("utf-8"), "op": s.op.decode(),
                "kernel": f"{family.decode()} {s.isa.decode()}".strip(), "macs": s.macs, "binary_macs": s.binary_macs,
                "weight_bytes": s.weight_bytes, "pass_step": s.in_pass,
            })
        return found

    cdef bnn_session *take_session(self) except NULL:
        cdef bnn_session *session = NULL
        cdef bnn_error error
        if self.process != os.getpid():
            # after a fork the parent's helper threads do not exist here, so its sessions are left alone
            self.free_sessions = []
            self.process = os.getpid()
        if self.free_sessions:
            return <bnn_session *><size_t>self.free_sessions.pop()
        if bnn_session_new(self.plan, &session, &error) != BNN_OK:
            raise _exception(&error)
        return session

    def run(self, list inputs, list outputs, size_t batch, list step_ns=None):
        """Runs `batch` samples from C-contiguous input buffers into C-contiguous output buffers, without the GIL.

        The caller has checked dtypes and shapes. Outputs are written while inputs are still read, so one that shares
        memory with an input, or with another output, is an InputError. step_ns, a list, receives the nanoseconds of
        each step.
        """
        cdef Py_buffer buffers[2 * MOST_VALUES]
        cdef const void *ins[MOST_VALUES]
        cdef void *outs[MOST_VALUES]
        cdef uint64_t *times = NULL
        cdef int held = 0
        cdef bnn_session *session = self.take_session()
        try:
            for i in range(len(inputs)):
                PyObject_GetBuffer(inputs[i], &buffers[held], PyBUF_C_CONTIGUOUS)
                ins[i] = buffers[held].buf
                held += 1
            for i in range(len(outputs)):
                PyObject_GetBuffer(outputs[i], &buffers[held], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
                outs[i] = buffers[held].buf
                held += 1
                if _overlaps(buffers, held - 1):
                    raise InputError(f"out for {self.outputs[i][0]!r}: shares memory with an input or another output: "
                                     "wanted its own")
            if step_ns is not None:
                times = <uint64_t *>calloc(self.steps, sizeof(uint64_t))
                if times == NULL:
                    raise MemoryError("no memory for step times")
            with nogil:
                bnn_session_run(session, batch, ins, outs, times)
            if step_ns is not None:
                step_ns[:] = [times[i] for i in range(self.steps)]
        finally:
            free(times)
            while held:
                held -= 1
                PyBuffer_Release(&buffers[held])
            self.free_sessions.append(<size_t>session)
