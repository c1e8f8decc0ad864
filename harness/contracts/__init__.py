"""What passes between layers: frozen records, ports to models, and the kind protocols."""
