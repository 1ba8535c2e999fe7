/** Mercuryo's widget: its script defines one global that runs it. */

export async function open({ parameters, host, load }) {
  await load();
  window.mercuryoWidget.run({ ...parameters, host });
}
