const message = document.querySelector("#message");

async function order(product) {
  const answer = await fetch("/api/orders", { method: "POST", body: JSON.stringify({ product }) });
  message.textContent = answer.ok ? `Order ${(await answer.json()).order} is on its way.` : "Please try again.";
}

const products = await (await fetch("/api/products")).json();
document.querySelector("#products").replaceChildren(
  ...products.map(({ id, name, price }) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.textContent = `Order for ${(price / 100).toFixed(2)}`;
    button.onclick = () => order(id);
    item.append(name, button);
    return item;
  }),
);
