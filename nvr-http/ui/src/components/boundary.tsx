import { Component, type ReactNode, useEffect } from "react";
import { t } from "~/i18n";
import { at } from "~/lib/base";
import { Button } from "./button";
import { Empty } from "./misc";

/** What browsers say when the code of a page could not be fetched. */
const NOT_FETCHED = /dynamically imported module|importing a module script failed/i;

/** A page whose code the recorder could not send. It is loaded again once the recorder answers after it did not. */
function Unreachable() {
  useEffect(() => {
    let away = false;
    const timer = setInterval(() => {
      fetch(at("/health"), { cache: "no-store" }).then(
        () => away && location.reload(),
        () => {
          away = true;
        },
      );
    }, 1500);
    return () => clearInterval(timer);
  }, []);
  return (
    <Empty title={t("common.offline_title")}>
      <p>{t("common.offline_text")}</p>
      <Button kind="primary" onClick={() => location.reload()}>{t("common.reload")}</Button>
    </Empty>
  );
}

/** Shows that a page broke, instead of nothing. */
export class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    if (NOT_FETCHED.test(error.message)) return <Unreachable />;
    return (
      <Empty title={t("common.error_title")}>
        <p>{t("common.error_text")}</p>
        <pre className="error-text">{error.message}</pre>
        <Button kind="primary" onClick={() => location.reload()}>{t("common.reload")}</Button>
      </Empty>
    );
  }
}
