"""How this worker runs ONNX models: one thread, small memory, quiet."""

import onnxruntime


def inference_session(model: bytes | str) -> onnxruntime.InferenceSession:
    """A CPU session. The caller's thread does the work: it can have a priority of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
