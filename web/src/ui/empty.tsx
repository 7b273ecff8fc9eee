import type { ReactNode } from "react";

interface EmptyProps {
  icon?: ReactNode;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}

/** Stands where there is nothing yet, and says what could be there. */
export function Empty({ icon, title, children, action }: EmptyProps) {
  return (
    <div className="ui-empty">
      {icon ? (
        <div className="ui-empty-icon" aria-hidden="true">
          {icon}
        </div>
      ) : null}
      <p className="ui-empty-title">{title}</p>
      {children ? <div className="ui-empty-text">{children}</div> : null}
      {action}
    </div>
  );
}
