"""What people say of colours: recorded, put into effect, taught."""
