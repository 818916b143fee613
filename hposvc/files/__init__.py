"""Files on the local disk: written whole, known by a checksum, and the headers of safetensors files."""
