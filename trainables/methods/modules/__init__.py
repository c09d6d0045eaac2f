"""Parts of single methods that load torch: masks, gates, input noise, penalties, densities fitted after training.

The records in methods/ import them as LazyModule.
"""
