"""What runs inside Blender, in a process of its own: numpy, Blender's `bpy`, and nothing else.

No other room may import it; :mod:`posetx.files.codecs.blender` starts it.
"""
