"""Long conversations over an upgraded connection: exec, attach and port-forward. WebSockets in, containers out."""
