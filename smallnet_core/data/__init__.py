"""Where images come from (``datasets``) and how they become batches on the device (``batches``)."""
