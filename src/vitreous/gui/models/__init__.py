"""What goes over the wire: the types that the OpenAPI document is made of."""
