import { Component, type ReactNode } from "react";
import { t } from "~/i18n";
import { Button } from "./button";
import { Empty } from "./misc";

/** Shows that a page broke, instead of nothing. */
export class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Empty title={t("common.error_title")}>
        <p>{t("common.error_text")}</p>
        <pre className="error-text">{error.message}</pre>
        <Button kind="primary" onClick={() => location.reload()}>{t("common.reload")}</Button>
      </Empty>
    );
  }
}
