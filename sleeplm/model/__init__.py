"""ReCoCa in torch: config, encoder, text tower, decoder, generation, tokenizers, checkpoints.

Nothing here knows of patients' files; nothing needs more than torch, numpy, safetensors and
tokenizers, so that a bare GPU machine can train it.
"""
