export { Button, type ButtonProps, IconButton, type IconButtonProps } from "./button";
export { classes } from "./classes";
export { CopyButton, type CopyButtonProps, copyText } from "./copy";
export { ConfirmDialog, type ConfirmDialogProps, Dialog, type DialogProps } from "./dialog";
export { Empty } from "./empty";
export { ErrorBoundary, Failure } from "./failure";
export {
  type Choice,
  Select,
  type SelectProps,
  Switch,
  type SwitchProps,
  TextArea,
  type TextAreaProps,
  TextField,
  type TextFieldProps,
} from "./field";
export { HeaderActions, HeaderTitle } from "./header";
export { Menu, type MenuEntry, type MenuItem, type MenuTrigger } from "./menu";
export { Skeleton, Spinner } from "./spinner";
export { announce, StatusRegion } from "./status";
export { applyTheme, type Theme, useTheme } from "./theme";
export { type ToastKind, Toasts, toast } from "./toast";
export { Tooltips } from "./tooltip";
