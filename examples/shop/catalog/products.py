"""What the shop sells."""

PRODUCTS = {
    "kettle": {"name": "Kettle", "price": 34.00, "tags": ["kitchen", "tea"]},
    "teapot": {"name": "Teapot", "price": 21.50, "tags": ["kitchen", "tea"]},
    "mug": {"name": "Mug", "price": 8.00, "tags": ["kitchen", "tea", "coffee"]},
    "grinder": {"name": "Coffee grinder", "price": 49.00, "tags": ["kitchen", "coffee"]},
    "lamp": {"name": "Desk lamp", "price": 39.90, "tags": ["desk"]},
    "notebook": {"name": "Notebook", "price": 5.20, "tags": ["desk"]},
    "pen": {"name": "Fountain pen", "price": 27.00, "tags": ["desk"]},
    "rope": {"name": "Rope, 10 m", "price": 12.00, "tags": ["boat"]},
    "sail": {"name": "Lateen sail", "price": 410.00, "tags": ["boat"]},
}
SPECIAL_ORDER = 10.00  # what is not on the shelf is ordered in, at a flat price


def price(sku: str) -> float:
    return float(PRODUCTS.get(sku, {}).get("price", SPECIAL_ORDER))
