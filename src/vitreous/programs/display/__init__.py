"""The display worker: a process that reads images and makes pictures for the browser.

The server starts it when somebody looks, asks through its standard input, and ends it when nobody
asks any more (`vitreous.gui.display`). Only here, in a process of its own, do pictures load torch.
"""
